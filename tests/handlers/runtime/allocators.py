"""Allocators on clocks that stand still, and a store that comes and goes."""

import random
from collections.abc import Iterable, Sequence

from handlers.answers import ReportAnswer
from handlers.model import (
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
)
from handlers.runtime.allocator import Allocator
from handlers.stores.base import Store, StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets

WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
SECRETS = TicketSecrets("a secret of the test's own cluster")
POOL = PoolSettings(capacity=2)


class Clocks:
    """Three clocks that agree on durations only."""

    def __init__(self) -> None:
        self.passed = 0.0

    def store(self) -> float:
        return 77.25 + self.passed

    def unix(self) -> float:
        return 1_700_000_000.5 + self.passed

    def monotonic(self) -> float:
        return 3.5 + self.passed


class ComesAndGoes(MemoryStore):
    """A store that answers nothing while it is `away`."""

    def __init__(self, pool: PoolSettings, clocks: Clocks) -> None:
        super().__init__(pool, clocks.store)
        self.away = False
        self.asked = 0
        """Calls for seats, answered or not."""

    def _ask(self) -> None:
        if self.away:
            raise StoreUnreachable

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        self.asked += 1
        self._ask()
        return await super().alloc(request)

    async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        self._ask()
        return await super().batch_alloc(requests)

    async def cancel(self, jti: Jti) -> bool:
        self._ask()
        return await super().cancel(jti)

    async def hello(self, hello: Hello) -> ReportRefused | None:
        self._ask()
        return await super().hello(hello)

    async def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        self._ask()
        return await super().report(report)

    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        self._ask()
        await super().sync(index, handlers)

    async def states(self) -> tuple[HandlerState, ...]:
        self._ask()
        return await super().states()


def made(store: Store, clocks: Clocks, rng: random.Random) -> Allocator:
    return Allocator(store, POOL, SECRETS, clock=clocks.unix, monotonic=clocks.monotonic, rng=rng)


def hello(name: HandlerId = WSH1, epoch: int = 5) -> Hello:
    return Hello(name, epoch, "https://h1.example", "/ws", 2)


async def answered(allocator: Allocator, report: Report) -> ReportAnswer:
    answer = await allocator.report(report)
    assert isinstance(answer, ReportAnswer)
    return answer
