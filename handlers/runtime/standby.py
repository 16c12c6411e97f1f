"""Watches the store, and stands in for it while it can't be relied on.

It makes no call of its own: it learns from those of others. The sweeper's come by themselves.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from handlers.answers import report_s
from handlers.degraded import LocalLedger
from handlers.model import (
    HandlerId,
    HandlerState,
    Hello,
    Known,
    PoolSettings,
    Report,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
)
from handlers.outage import Mode, Outage
from handlers.stores.base import StoreUnreachable

log = structlog.get_logger()

T = TypeVar("T")

UNKNOWN_FOR_S = 3600.0
"""So long after an outage, or our start, handlers may have clients of whom the store knows nothing: it was
lost, or their seats came from here. Who stays longer is not moved, and connects anew when told to."""


class Standby:
    """Of one pool. `clock` is monotonic; `gateways` tells how many hand out seats now."""

    def __init__(
        self,
        pool: PoolSettings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        gateways: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._gateways = gateways
        self._outage = Outage(report_s(pool))
        self._surely_exact_from = clock() + UNKNOWN_FOR_S
        self._local = LocalLedger(pool, rng)
        self.seated = self._local.seated
        self.cancel = self._local.cancel

    @property
    def mode(self) -> Mode:
        return self._outage.mode

    @property
    def store_knows_all(self) -> bool:
        """Whether whoever sits at a handler has a seat in the store, as nearly all have."""
        return self.mode is Mode.EXACT and self._clock() >= self._surely_exact_from

    async def asked(self, call: Awaitable[T]) -> T:
        """What the store answers to `call`. Raises `StoreUnreachable`, as that does."""
        try:
            answer = await call
        except StoreUnreachable:
            self.failed()
            raise
        if self._outage.mode is Mode.DEGRADED:
            self._outage.answered(self._clock())
        return answer

    def failed(self) -> None:
        """The store did not answer."""
        if self._outage.failed(self._clock()):
            self._say("store_unreachable")

    def seen(self, states: Sequence[HandlerState]) -> None:
        """What the store says of the handlers. It tells whether it can be relied on."""
        local, outage, now, gateways = self._local, self._outage, self._clock(), self._gateways()
        if outage.mode is Mode.EXACT:
            lost = local.unheard(states, float("inf"), now, gateways)
            if not outage.lost(lost, now):
                local.adopt(states, now, gateways)
                return
            self._say("store_has_lost_handlers")
        unheard = local.unheard(states, outage.answers_for_s(now), now, gateways)
        lasted_s = outage.over(unheard, now)
        if lasted_s is None:
            local.merge(states, now)
            return
        local.adopt(states, now, gateways)
        self._surely_exact_from = now + UNKNOWN_FOR_S
        log.info("seats_exact_again", pool=self._pool.name, after_s=round(lasted_s, 3))

    def knows_of_any(self, exclude: frozenset[HandlerId]) -> bool:
        """Whether any handler but those may get clients, whatever the store says."""
        return bool(self._local.open(exclude, self._clock(), self._gateways()))

    def states(self) -> tuple[HandlerState, ...]:
        """Every handler as far as this gateway knows by itself."""
        return self._local.states(self._clock(), self._gateways())

    def reserve(self, request: SeatRequest) -> Seat | SeatRefused:
        """A seat without the store, and so without a guarantee."""
        return self._local.reserve(request, self._clock(), self._gateways())

    def hello(self, hello: Hello) -> ReportRefused | None:
        return self._local.hello(hello, self._clock())

    def report(self, report: Report) -> ReportRefused | None:
        return self._local.report(report, self._clock())

    def listed(self, handlers: Sequence[Known]) -> None:
        self._local.listed(handlers, self._clock())

    def _say(self, reason: str) -> None:
        log.warning("seats_estimated", pool=self._pool.name, reason=reason)

    def __repr__(self) -> str:
        return f"<Standby: {self._outage!r}, {self._local!r}>"
