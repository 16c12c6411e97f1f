"""Counts requests in this process: right for one gateway, and for each of several on its own."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from gateway.limiters.base import Limiter, Rule, Verdict
from gateway.windows import SlidingWindows


class MemoryLimiter:
    """Never waits, so every decision is atomic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows = SlidingWindows()

    async def hit(self, rules: Sequence[Rule]) -> Verdict | None:
        return self._windows.hit(rules, self._clock())

    def refusal(self, rules: Sequence[Rule]) -> Verdict | None:
        return self._windows.refusal(rules, self._clock())

    def __repr__(self) -> str:
        return f"<MemoryLimiter: {self._windows!r}>"


@asynccontextmanager
async def open_limiter(url: str) -> AsyncIterator[Limiter]:
    """A limiter with empty windows. `url` says where shared stores are; nothing is shared here."""
    del url
    yield MemoryLimiter()
