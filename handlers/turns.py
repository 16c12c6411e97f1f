"""Who has to wait for a seat, for what, and for how long."""

from handlers.book import AppointmentBook
from handlers.lineup import Lineup
from handlers.model import HandlerId, PoolSettings, SeatRefusal, SeatRefused, SeatRequest, Uid
from handlers.seats import SeatBook

RETRY_WHEN_FULL_S = 5.0
"""When no hold is there to run out: seats come free when clients leave, and nobody knows when."""


class Turns:
    """Looks at the handlers and seats of one ledger, and keeps its appointments."""

    def __init__(self, pool: PoolSettings, handlers: Lineup, seats: SeatBook) -> None:
        self._pool = pool
        self._handlers = handlers
        self._seats = seats
        self._book = AppointmentBook(pool)

    def refusal(self, request: SeatRequest, chosen: HandlerId | None, now: float) -> SeatRefused | None:
        """`None` if it is the turn of this request, for which the order has `chosen`."""
        if chosen is None:
            if not self._handlers.some_parked(request.exclude):
                return self._no_room(request.exclude, now)
            if request.moving:
                return SeatRefused(SeatRefusal.NO_CAPACITY, self._ready_in(now))
        elif request.moving or (request.slot is None and not self._book.is_waited(now)):
            return None
        if request.slot is not None and self._book.keeps(request.slot, now):
            return self._kept(request.slot, chosen, now)
        if chosen is not None and not self._book.is_waited(now):
            return None
        uid, seats = request.uid, self._seats
        if seats.at_limit(uid, self._pool.seats_per_user) and seats.oldest_standby(uid) is None:
            return self.at_limit(uid, now)
        return self._appointment(now)

    def at_limit(self, uid: Uid, now: float) -> SeatRefused:
        """For a user who holds as many seats as a user may, none of which can be replaced."""
        return SeatRefused(SeatRefusal.RATE_LIMITED, self._seats.first_hold_end(uid) - now)

    def used(self, slot: float, now: float) -> None:
        """Who had that appointment has got a seat."""
        if self._book.keeps(slot, now):
            self._book.use(slot, now)

    def _no_room(self, exclude: frozenset[HandlerId], now: float) -> SeatRefused:
        if not self._handlers.some_full(exclude):
            return SeatRefused(SeatRefusal.NO_HANDLERS, self._pool.dead_after_s)
        hold_ends = self._seats.holds.earliest()
        wait_s = RETRY_WHEN_FULL_S if hold_ends is None else hold_ends - now
        return SeatRefused(SeatRefusal.NO_CAPACITY, wait_s)

    def _kept(self, slot: float, chosen: HandlerId | None, now: float) -> SeatRefused | None:
        """Who comes too early is told the time again.

        Who keeps it and finds nobody ready all the same (others were moved, or it may not go everywhere)
        comes back with the same slot for the next token: nobody pays twice.
        """
        if slot > now:
            return SeatRefused(SeatRefusal.COME_BACK, slot - now, slot, now)
        if chosen is not None:
            return None
        return SeatRefused(SeatRefusal.COME_BACK, self._ready_in(now), slot, now)

    def _appointment(self, now: float) -> SeatRefused:
        slot = self._book.appoint(now, self._handlers.joins_per_s(now))
        wait_s = self._pool.horizon_s if slot is None else slot - now
        return SeatRefused(SeatRefusal.COME_BACK, wait_s, slot, now)

    def _ready_in(self, now: float) -> float:
        """Until somebody who has room takes in the next client."""
        ready_at = self._handlers.ready_at()
        assert ready_at is not None
        return ready_at - now

    def __repr__(self) -> str:
        return f"<Turns: {self._book!r}>"
