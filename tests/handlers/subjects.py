"""A ledger, or a store of the table, without `async` and on a clock of one's own: what the machine drives."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from handlers.ledger import SeatLedger
from handlers.model import (
    Decision,
    DrainOrder,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores.base import OpenStore, Store
from tests.servers import forget_all

T = TypeVar("T")


class Subject(Protocol):
    """A ledger or a store on the machine's clock, without `async`."""

    can_be_emptied: bool

    def empty(self) -> None:
        """Everything is forgotten, but by those who use it."""

    def sync(self, index: int, handlers: Iterable[Known]) -> None: ...
    def alloc(self, request: SeatRequest) -> Seat | SeatRefused: ...
    def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]: ...
    def cancel(self, jti: Jti) -> bool: ...
    def hello(self, hello: Hello) -> ReportRefused | None: ...
    def report(self, report: Report) -> DrainOrder | ReportRefused | None: ...
    def admit_late(self, handler: HandlerId, epoch: int, jti: Jti) -> bool: ...
    def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]: ...
    def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool: ...
    def sweep(self) -> int: ...
    def decision(self, sequence: int) -> Decision | None: ...
    def counts(self) -> Mapping[str, int]: ...
    def states(self) -> tuple[HandlerState, ...]: ...
    def close(self) -> None: ...


class LedgerSubject:
    can_be_emptied = False

    def empty(self) -> None:
        raise NotImplementedError

    def __init__(self, pool: PoolSettings, clock: Callable[[], float]) -> None:
        self.ledger, self.clock = SeatLedger(pool), clock

    def sync(self, index: int, handlers: Iterable[Known]) -> None:
        self.ledger.sync(index, handlers, self.clock())

    def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        return self.ledger.reserve(request, self.clock())

    def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        return self.ledger.reserve_all(requests, self.clock())

    def cancel(self, jti: Jti) -> bool:
        return self.ledger.cancel(jti, self.clock())

    def hello(self, hello: Hello) -> ReportRefused | None:
        return self.ledger.hello(hello, self.clock())

    def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        return self.ledger.report(report, self.clock())

    def admit_late(self, handler: HandlerId, epoch: int, jti: Jti) -> bool:
        return self.ledger.admit_late(handler, epoch, jti, self.clock())

    def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]:
        return self.ledger.seated(handler, uids, self.clock())

    def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        return self.ledger.drain(handler, order, self.clock())

    def decision(self, sequence: int) -> Decision | None:
        return self.ledger.decision(sequence)

    def counts(self) -> Mapping[str, int]:
        return self.ledger.counts()

    def sweep(self) -> int:
        return self.ledger.expire(self.clock())

    def states(self) -> tuple[HandlerState, ...]:
        return self.ledger.states(self.clock())

    def close(self) -> None:
        pass


class StoreSubject:
    """Opens a store of the table and runs its coroutines."""

    can_be_emptied = False

    def empty(self) -> None:
        raise NotImplementedError

    def __init__(
        self, open_store: OpenStore, url: str, pool: PoolSettings, clock: Callable[[], float]
    ) -> None:
        self.runner = asyncio.Runner()
        self.opened: AbstractAsyncContextManager[Store] = open_store(pool, url, clock=clock)
        self.store = self.runner.run(_enter(self.opened))

    def sync(self, index: int, handlers: Iterable[Known]) -> None:
        self._run(self.store.sync(index, handlers))

    def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        return self._run(self.store.alloc(request))

    def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        return self._run(self.store.batch_alloc(requests))

    def cancel(self, jti: Jti) -> bool:
        return self._run(self.store.cancel(jti))

    def hello(self, hello: Hello) -> ReportRefused | None:
        return self._run(self.store.hello(hello))

    def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        return self._run(self.store.report(report))

    def admit_late(self, handler: HandlerId, epoch: int, jti: Jti) -> bool:
        return self._run(self.store.admit_late(handler, epoch, jti))

    def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]:
        return self._run(self.store.seated(handler, uids))

    def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        return self._run(self.store.drain(handler, order))

    def decision(self, sequence: int) -> Decision | None:
        return self._run(self.store.decision(sequence))

    def counts(self) -> Mapping[str, int]:
        return self.store.counts()

    def sweep(self) -> int:
        return self._run(self.store.sweep())

    def states(self) -> tuple[HandlerState, ...]:
        return self._run(self.store.states())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        self.runner.run(_leave(self.opened))
        self.runner.close()


class AlternatingSubject(StoreSubject):
    """Two stores of two gateways over one Redis: each call takes the other one. The registry tells both."""

    can_be_emptied = True

    def empty(self) -> None:
        """Redis forgets, and each gateway tells its view when it notices, after its next call."""
        forget_all(self.url)
        for store in (self.first, self.other) * 2:
            self._run(store.states())

    def __init__(
        self, open_store: OpenStore, url: str, pool: PoolSettings, clock: Callable[[], float]
    ) -> None:
        super().__init__(open_store, url, pool, clock)
        self.url = url
        self.first = self.store
        self.also_opened = open_store(pool, url, clock=clock)
        self.other = self.runner.run(_enter(self.also_opened))

    def sync(self, index: int, handlers: Iterable[Known]) -> None:
        known = list(handlers)
        for store in (self.first, self.other):
            self._run(store.sync(index, known))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        self.store = self.other if self.store is self.first else self.first
        return super()._run(work)

    def counts(self) -> Mapping[str, int]:
        return Counter(self.first.counts()) + Counter(self.other.counts())

    def close(self) -> None:
        self.runner.run(_leave(self.also_opened))
        super().close()


async def _enter(opened: AbstractAsyncContextManager[Store]) -> Store:
    return await opened.__aenter__()


async def _leave(opened: AbstractAsyncContextManager[Store]) -> None:
    await opened.__aexit__(None, None, None)
