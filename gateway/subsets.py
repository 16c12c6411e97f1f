"""Which of two sides of a service a call goes to: the instances with a tag, or the others.

Rules of this file: a sticky caller's side follows from who it is and from the weight alone, so every gateway
says the same, and a weight that grows moves callers to the tagged side and none away from it.
"""

from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Generic, TypeVar

from gateway.request_head import Values

T = TypeVar("T")

_STEPS = 1 << 64


@dataclass(frozen=True, slots=True)
class Split(Generic[T]):
    """What there is on each side."""

    asked: T
    """For requests that ask for the tagged side by the header."""
    inside: T
    """With the tag."""
    outside: T
    weight: int
    """Percent of the calls that go inside."""
    header: str | None
    """Best a `multidict.istr`: it is looked up with every request."""
    value: str | None
    """Of the header; `None` is any."""
    salt: bytes
    """From `salt_of`."""
    rng: Random | None
    """Chooses call by call; `None` keeps a caller on its side."""

    def side(self, headers: Values, user_id: str | None, address: str) -> T:
        """Where a request with these headers goes, that came from that user or else address."""
        if self.header is not None:
            given = headers.getall(self.header, ())
            if given and (self.value is None or self.value in given):
                return self.asked
        return self.inside if self._point(user_id, address) < self.weight else self.outside

    def _point(self, user_id: str | None, address: str) -> float:
        """From 0 up to 100, evenly."""
        if self.rng is not None:
            return 100 * self.rng.random()
        caller = f"address {address}" if user_id is None else f"user {user_id}"
        # Users may hold lone surrogates: a token's JSON may.
        data = caller.encode(errors="surrogatepass")
        return 100 * (int.from_bytes(blake2b(data, digest_size=8, key=self.salt).digest(), "big") / _STEPS)


def salt_of(service: str, tag: str) -> bytes:
    """Makes of each split an order of its own: who is among the first at one is not at all of them.

    Routes to the same tag of a service share one, so a caller does not meet two releases at once.
    """
    return blake2b(f"{service} {tag}".encode(), digest_size=16).digest()
