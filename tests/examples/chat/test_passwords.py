import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.chat.passwords import Passwords, ScryptSettings, hash_password, matches
from tests.examples.chat.clients import CHEAP


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    passwords = Passwords(CHEAP)
    yield passwords
    await passwords.close()


async def test_a_hash_knows_its_password_and_no_other(passwords: Passwords) -> None:
    stored = await passwords.hash("corréct horse")
    assert await passwords.verify("corréct horse", stored)
    assert not await passwords.verify("corrEct horse", stored)
    assert "horse" not in stored
    assert stored != await passwords.hash("corréct horse")


@pytest.mark.parametrize("password", ["", "password"])
async def test_nobody_has_no_password_not_even_the_empty_one(passwords: Passwords, password: str) -> None:
    assert not await passwords.verify(password, None)


async def test_nobody_costs_as_much_as_somebody(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await passwords.hash("password")
    costs = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, **cost: Any) -> bytes:
        costs.append((cost["n"], cost["r"], cost["p"]))
        return scrypt(password, **cost)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    await passwords.verify("password", stored)
    await passwords.verify("password", None)
    assert costs == [(CHEAP.n, CHEAP.r, CHEAP.p)] * 2


def test_a_hash_carries_its_cost_so_costs_may_grow() -> None:
    old = hash_password("password", b"salt", ScryptSettings(n=32, r=2, p=1))
    assert old.startswith("scrypt$32$2$1$")
    assert matches("password", old)


def test_the_default_cost_is_one_owasp_recommends() -> None:
    cost = ScryptSettings()
    assert (cost.n, cost.r, cost.p) == (16384, 8, 5)
    assert matches("password", hash_password("password", b"salt", cost))


def test_what_is_no_hash_of_ours_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a scrypt hash"):
        matches("password", "bcrypt$1$1$1$00$00")
