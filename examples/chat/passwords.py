"""Passwords, kept as scrypt hashes (RFC 7914): each guess costs 16 MiB and a third of a second."""

import hashlib
import hmac
import os
from dataclasses import dataclass
from functools import partial

from examples.chat.threads import Threads


@dataclass(frozen=True, slots=True)
class ScryptSettings:
    """One of the equivalent choices of OWASP's password storage cheat sheet (2^14, 8, 5)."""

    n: int = 2**14
    r: int = 8
    p: int = 5


def hash_password(password: str, salt: bytes, cost: ScryptSettings) -> str:
    """`scrypt$n$r$p$salt$hash`: it carries its cost, so that costs may grow later."""
    digest = hashlib.scrypt(
        password.encode(), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=256 * cost.n * cost.r, dklen=32
    )
    return f"scrypt${cost.n}${cost.r}${cost.p}${salt.hex()}${digest.hex()}"


def matches(password: str, stored: str) -> bool:
    """Whether `stored` was made from this password. Raises `ValueError` if it is no hash of ours."""
    kind, n, r, p, salt, _ = stored.split("$")
    if kind != "scrypt":
        raise ValueError("not a scrypt hash")
    again = hash_password(password, bytes.fromhex(salt), ScryptSettings(int(n), int(r), int(p)))
    return hmac.compare_digest(again, stored)


class Passwords:
    """Hashes in threads (scrypt lets go of the interpreter's lock), a few at a time.

    Both methods raise `Busy` when too many are waiting.
    """

    def __init__(self, cost: ScryptSettings, at_once: int = 2, waiting: int = 32) -> None:
        self._cost = cost
        self._threads = Threads("scrypt", at_once, waiting)
        self._nobodys = hash_password("", os.urandom(16), cost)

    async def hash(self, password: str) -> str:
        return await self._threads.run(partial(hash_password, password, os.urandom(16), self._cost))

    async def verify(self, password: str, stored: str | None) -> bool:
        """False for nobody (`None`), after the same work: the time must not tell who has an account."""
        same = await self._threads.run(partial(matches, password, stored or self._nobodys))
        return same and stored is not None

    async def close(self) -> None:
        await self._threads.close()
