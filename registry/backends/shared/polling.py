"""The loop of a blocking query: the rules of blocking.py, backoff after failures, no end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import TypeVar

from registry.backoff import full_jitter
from registry.blocking import Position, TokenBucket
from registry.failover import AddressLedger
from registry.model import NO_LEADER, Denied, Failed, Gone, RegistryError, Seen

CAP_S = 5.0
"""The longest pause after failures: a registry that is back is asked within so long."""

T = TypeVar("T")
Read = Callable[[int, int | None], Awaitable[tuple[int, T]]]
"""Asks one address once: with an index it may block until something changes. Raises `RegistryError`."""


class Poller:
    """Runs any number of blocking queries and counts how often one had to start anew."""

    def __init__(
        self,
        rng: Random,
        addresses: AddressLedger | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rng = rng
        self._addresses = addresses or AddressLedger(1)
        self._clock = clock
        self._sleep = sleep
        self.index_resets = 0

    @property
    def failovers(self) -> int:
        """How often another address was taken."""
        return self._addresses.moves

    async def poll(self, read: Read[T]) -> AsyncGenerator[T | Failed, None]:
        """Every answer, and every failure as a value.

        Another address is another view, perhaps one that is not complete yet. So it is never taken without a
        failure: what is lost just after one is doubted (merge.py).
        """
        position, bucket, failures = Position(), TokenBucket(at=self._clock()), 0
        while True:
            bucket, pause_s = bucket.take(self._clock())
            await self._sleep(pause_s)
            address = self._addresses.current
            if address != position.address and failures == 0 and position.index is not None:
                yield Failed("moved", "another address of the registry is asked now")
            position = position.at(address)
            try:
                answered, news = await read(address, position.index)
            except RegistryError as error:
                position, failures = position.after_error(), failures + 1
                # A token that may not read here may not read anywhere.
                elsewhere = not isinstance(error, Denied) and self._addresses.failed(address)
                yield Failed(error.reason, str(error))
                if not elsewhere:
                    await self._sleep(full_jitter(failures, self._rng, cap_s=CAP_S))
                continue
            failures = 0
            if isinstance(news, Seen | Gone) and news.note == NO_LEADER:
                self._addresses.knows_no_leader(address)
            else:
                self._addresses.answered(address)
            moved = position.after(answered)
            self.index_resets += moved.resets - position.resets
            position = moved
            yield news
