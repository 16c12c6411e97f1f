"""A long day of random calls, made to a store and to the ledger alike: every answer must be the same.

The machine (machine.py) plays processes that keep to their protocol and checks what holds in the world. Here
nobody keeps to anything: any epoch, any sequence, any ticket at any handler, in batches, so the rare
branches are met within seconds.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from handlers.ledger import SeatLedger
from handlers.model import (
    DrainOrder,
    HandlerId,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores.base import Store

POOL = PoolSettings(capacity=2, guaranteed_s=4.0, ticket_s=12.0, dead_after_s=3.0, seats_per_user=3)
THROTTLED = replace(POOL, capacity=9, joins_per_s=1.5, joins_burst=2, slow_start_s=8.0, horizon_s=4.0)
HANDLERS = tuple(map(HandlerId, ("A", "B", "C", "D")))
PAUSES = (0.0, 0.0, 0.1, 0.5, 0.5, 1.0, 1.0, 2.5, 4.0)

Answered = tuple[Any, Awaitable[Any]]
"""What the ledger said, and what the store will say."""


class Clock:
    """Stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Day:
    """Makes calls to both, drawn by `rng`."""

    def __init__(self, store: Store, pool: PoolSettings, rng: random.Random, clock: Clock) -> None:
        self._store = store
        self._ledger = SeatLedger(pool)
        self._rng = rng
        self._jtis: list[Jti] = []
        self._places: dict[Jti, tuple[HandlerId, int]] = {}
        self._slots: list[float] = []
        self._names = 0
        self._index = 0
        self._clock = clock

    @property
    def now(self) -> float:
        return self._clock.now

    async def go_on(self, batches: int) -> None:
        """So many batches, of one call or several."""
        calls: tuple[Callable[[], Answered], ...] = (
            (self._alloc,) * 10
            + (self._report,) * 8
            + (self._hello, self._cancel, self._cancel, self._admit_late, self._admit_late) * 2
        )
        calls += (self._locate,) * 3 + (self._decision, self._batch_alloc)
        calls += (self._drain, self._sync, self._sweep)
        for _ in range(batches):
            self._clock.now += self._rng.choice(PAUSES)
            made = [self._rng.choice(calls)() for _ in range(self._rng.choice((1, 1, 3, 8)))]
            made.append((self._ledger.states(self.now), self._store.states()))
            said = await asyncio.gather(*(answer for _, answer in made))
            for (wanted, _), got in zip(made, said, strict=True):
                assert _comparable(got) == _comparable(wanted)
            assert self._store.counts() == self._ledger.counts()
            # What both have forgotten only costs time.
            del self._jtis[:-24]

    def _alloc(self) -> Answered:
        request = self._request()
        said = self._ledger.reserve(request, self.now)
        self._remember(request, said)
        return said, self._store.alloc(request)

    def _batch_alloc(self) -> Answered:
        requests = [self._request() for _ in range(self._rng.choice((1, 2, 5)))]
        said = self._ledger.reserve_all(requests, self.now)
        for request, answer in zip(requests, said, strict=True):
            self._remember(request, answer)
        return said, self._store.batch_alloc(requests)

    def _request(self) -> SeatRequest:
        self._names += 1
        return SeatRequest(
            Uid(self._rng.choice("uvw")),
            Jti(f"t{self._names}"),
            self._rng.choice((None, "phone")),
            self._rng.choice((None, *HANDLERS)),
            frozenset(self._rng.sample(HANDLERS, self._rng.choice((0, 0, 0, 1, 2)))),
            slot=self._rng.choice(self._slots) if self._slots and self._rng.randrange(2) else None,
            moving=self._rng.randrange(6) == 0,
        )

    def _remember(self, request: SeatRequest, said: Seat | SeatRefused) -> None:
        self._jtis.append(request.jti)
        if isinstance(said, Seat):
            self._places[request.jti] = (said.handler, said.epoch)
        elif said.slot is not None:
            self._slots.append(said.slot)
            del self._slots[:-6]

    def _report(self) -> Answered:
        name = self._handler()
        seq, connections = self._rng.choice((1, 2, 3, 50, *[self._names] * 6)), self._rng.randrange(3)
        confirmed, closed = self._some_jtis(name), self._some_jtis(name)[:1]
        leaving = self._rng.randrange(20) == 0
        report = Report(name, self._epoch(), seq, connections, confirmed, closed, leaving)
        return self._ledger.report(report, self.now), self._store.report(report)

    def _hello(self) -> Answered:
        name, epoch = self._handler(), self._epoch()
        capacity, weight = self._rng.choice((1, 3, 9)), self._rng.choice((1, 1, 3))
        known, connections = self._some_jtis(name), self._rng.choice((0, 0, 1, 3))
        url = f"http://{name}:{epoch}"
        hello = Hello(name, epoch, url, "/ws", capacity, weight, known, connections)
        return self._ledger.hello(hello, self.now), self._store.hello(hello)

    def _cancel(self) -> Answered:
        jti = self._jti()
        return self._ledger.cancel(jti, self.now), self._store.cancel(jti)

    def _admit_late(self) -> Answered:
        jti = self._jti()
        name, epoch = self._places.get(jti, (self._handler(), self._epoch()))
        return self._ledger.admit_late(name, epoch, jti, self.now), self._store.admit_late(name, epoch, jti)

    def _locate(self) -> Answered:
        uid = Uid(self._rng.choice("uvw"))
        return self._ledger.locate(uid, self.now), self._store.locate(uid)

    def _drain(self) -> Answered:
        name, draining = self._handler(), self._rng.randrange(3) == 0
        order = DrainOrder(self._rng.choice((0.0, 4.0)), self._rng.choice((None, 2.5))) if draining else None
        return self._ledger.drain(name, order, self.now), self._store.drain(name, order)

    def _decision(self) -> Answered:
        sequence = self._rng.randrange(self._names + 1)
        return self._ledger.decision(sequence), self._store.decision(sequence)

    def _sync(self) -> Answered:
        self._index += 1
        listed = [
            Known(
                name,
                f"http://{name}",
                capacity=self._rng.choice((None, 3)),
                healthy=self._rng.randrange(6) > 0,
                draining=self._rng.randrange(8) == 0,
                speaks=name != HANDLERS[-1],
            )
            for name in HANDLERS
            if self._rng.randrange(4)
        ]
        self._ledger.sync(self._index, listed, self.now)
        return None, self._store.sync(self._index, listed)

    def _sweep(self) -> Answered:
        self._ledger.expire(self.now)
        return None, self._nothing(self._store.sweep)

    async def _nothing(self, call: Callable[[], Awaitable[object]]) -> None:
        """How many seats a sweep frees depends on who settled them first."""
        await call()

    def _handler(self) -> HandlerId:
        return self._rng.choice(HANDLERS)

    def _epoch(self) -> int:
        """Mostly that of the day's hour, so that reports find their handler; now and then an older one."""
        return max(0, int(self.now / 60) + self._rng.choice((0, 0, 0, 0, 0, -1, 1)))

    def _jti(self) -> Jti:
        return self._rng.choice(self._jtis) if self._jtis else Jti("nobody")

    def _some_jtis(self, handler: HandlerId) -> tuple[Jti, ...]:
        """Of that handler, and one of anybody."""
        own = [jti for jti in self._jtis if self._places.get(jti, ("", 0))[0] == handler]
        return (self._jti(), *self._rng.sample(own, min(len(own), self._rng.choice((0, 1, 2)))))


def _comparable(answer: Any) -> Any:
    """A wait for the next hold's end is a guess, and the ledger knows sooner which holds are void."""
    if isinstance(answer, tuple) and not isinstance(answer, Seat):
        return [_comparable(each) for each in answer]
    if isinstance(answer, SeatRefused) and answer.reason is SeatRefusal.NO_CAPACITY:
        return answer.reason
    return answer
