"""The loop of a blocking query: the rules of blocking.py, backoff after failures, no end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import TypeVar

from registry.backoff import full_jitter
from registry.blocking import Position, TokenBucket
from registry.model import Failed, RegistryError

T = TypeVar("T")
Read = Callable[[int | None], Awaitable[tuple[int, T]]]
"""Asks once: with an index it may block until something changes. Raises `RegistryError`."""


class Poller:
    """Runs any number of blocking queries and counts how often one had to start anew."""

    def __init__(
        self,
        rng: Random,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rng = rng
        self._clock = clock
        self._sleep = sleep
        self.index_resets = 0

    async def poll(self, read: Read[T]) -> AsyncGenerator[T | Failed, None]:
        """Every answer, and every failure as a value."""
        position, bucket, failures = Position(), TokenBucket(at=self._clock()), 0
        while True:
            bucket, pause_s = bucket.take(self._clock())
            await self._sleep(pause_s)
            try:
                answered, news = await read(position.index)
            except RegistryError as error:
                position, failures = position.after_error(), failures + 1
                yield Failed(error.reason, str(error))
                await self._sleep(full_jitter(failures, self._rng))
                continue
            failures = 0
            moved = position.after(answered)
            self.index_resets += moved.resets - position.resets
            position = moved
            yield news
