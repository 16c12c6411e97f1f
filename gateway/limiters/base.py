"""What a rate limiter does: one decision over all rules of a request, all or nothing."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests of `key` in any `window_s` seconds."""

    key: str
    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tightest rule's numbers, for the `X-RateLimit-*` headers. Seconds are rounded up by the reader."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float


class Limiter(Protocol):
    async def hit(self, rules: Sequence[Rule]) -> Verdict | None:
        """Counts one request against every rule if all allow it, else against none. `None`: no rules."""
        ...


class OpenLimiter(Protocol):
    """The type of every module's `open_limiter`."""

    def __call__(self, url: str) -> AbstractAsyncContextManager[Limiter]: ...
