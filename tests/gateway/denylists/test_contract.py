"""What every denylist promises. A new line in DENYLISTS is tested by being there."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.denylists import DENYLISTS, load_denylist
from gateway.denylists.base import Denylist
from gateway.settings_identity import RevocationSettings
from registry.runtime.clock import unix_now
from tests.servers import patient


@pytest.fixture(params=DENYLISTS)
async def denylist(request: pytest.FixtureRequest) -> AsyncIterator[Denylist]:
    # A shared store brings its real server along; one that needs none never asks for the fixture.
    url = "" if request.param == "memory" else patient(request.getfixturevalue("redis_url"))
    async with load_denylist(request.param)(url, RevocationSettings(refresh_s=0.05)) as opened:
        yield opened


async def test_a_token_is_revoked_at_once(denylist: Denylist) -> None:
    one, other = (f"t:{uuid4()}" for _ in range(2))
    assert not denylist.holds(one)
    assert await denylist.add(one, unix_now() + 60)
    assert denylist.holds(one)
    assert not denylist.holds(other)


async def test_already_before_anything_is_waited_for(denylist: Denylist) -> None:
    token = f"t:{uuid4()}"
    async with asyncio.TaskGroup() as group:
        group.create_task(denylist.add(token, unix_now() + 60))
        await asyncio.sleep(0)
        assert denylist.holds(token), "no answer of a store can be here yet"


async def test_what_has_expired_is_not_kept(denylist: Denylist) -> None:
    token = f"t:{uuid4()}"
    assert await denylist.add(token, unix_now() - 1)
    assert not denylist.holds(token)


async def test_what_expires_first_is_forgotten_first(denylist: Denylist) -> None:
    denylist.follow(RevocationSettings(refresh_s=0.05, max_tokens=2))
    tokens = [f"t:{uuid4()}" for _ in range(3)]
    now = unix_now()
    for n, token in enumerate(tokens):
        await denylist.add(token, now + 10_000 * (n + 1))
    assert [denylist.holds(token) for token in tokens] == [False, True, True]


async def test_one_that_is_there_is_healthy(denylist: Denylist) -> None:
    assert denylist.healthy
