"""Seats in the memory of one gateway process: the ledger with a clock.

For one gateway. Everything is lost with the process, and rebuilt within a second or so from what the
handlers report; tickets given out before that are late ones then (`admit_late`).

Time in which the process stands still does not count here: no handler is taken for dead because nobody
listened.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from handlers.awake_time import awake_clock
from handlers.ledger import SeatLedger
from handlers.model import (
    Decision,
    DrainOrder,
    Epoch,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    Located,
    PoolSettings,
    Report,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores.base import Store


class MemoryStore:
    """No method awaits anything, so each is atomic towards the others."""

    def __init__(self, pool: PoolSettings, clock: Callable[[], float]) -> None:
        self._ledger = SeatLedger(pool)
        self._clock = clock

    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        self._ledger.sync(index, handlers, self._clock())

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        return self._ledger.reserve(request, self._clock())

    async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        return self._ledger.reserve_all(requests, self._clock())

    async def cancel(self, jti: Jti) -> bool:
        return self._ledger.cancel(jti, self._clock())

    async def hello(self, hello: Hello) -> ReportRefused | None:
        return self._ledger.hello(hello, self._clock())

    async def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        return self._ledger.report(report, self._clock())

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        return self._ledger.admit_late(handler, epoch, jti, self._clock())

    async def locate(self, uid: Uid) -> Located | None:
        return self._ledger.locate(uid, self._clock())

    async def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]:
        return self._ledger.seated(handler, uids, self._clock())

    async def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        return self._ledger.drain(handler, order, self._clock())

    async def sweep(self) -> int:
        return self._ledger.expire(self._clock())

    async def decision(self, sequence: int) -> Decision | None:
        return self._ledger.decision(sequence)

    def counts(self) -> Mapping[str, int]:
        return self._ledger.counts()

    async def states(self) -> tuple[HandlerState, ...]:
        return self._ledger.states(self._clock())

    def __repr__(self) -> str:
        return f"<MemoryStore: {self._ledger!r}>"


@asynccontextmanager
async def open_store(
    pool: PoolSettings,
    url: str,  # noqa: ARG001 - memory has no address
    *,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Store]:
    yield MemoryStore(pool, clock or awake_clock(time.monotonic))
