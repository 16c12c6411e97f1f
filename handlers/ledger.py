"""Who holds which seat: the pure heart of allocation, and the oracle for every store.

Rules of this file:

* A handler's count is what it last reported, whole; nothing is ever added to it or taken from it.
  Load = reported connections + held seats, and held seats are the length of a set.
* What gets lost errs to counting too much: a seat is held until its confirmation or its hold's end,
  and the hold outlives the guarantee by the time in which a death is noticed (ALLOCATION 1.4).
* Time is an argument and never runs backwards in here. Whatever has run out is settled at the start
  of every call, so no answer depends on somebody sweeping.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from handlers.decisions import Decisions
from handlers.lineup import Lineup
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
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.roster import HandlerRecord
from handlers.seat_life import HOLD_ENDS, LATE, RESERVED, UNCONFIRMED, SeatEvent
from handlers.seats import NOBODY, SeatBook, SeatRecord
from handlers.turns import Turns

REPEATS_LOOKED_AT = 32
"""Seats of one user and kind, the last ones, among which one that is asked for is looked for."""


class SeatLedger:
    """The seats of one pool."""

    def __init__(self, pool: PoolSettings) -> None:
        self._pool = pool
        self._seats = SeatBook()
        self._handlers = Lineup(pool, self._seats.held)
        self._turns = Turns(pool, self._handlers, self._seats)
        self._decisions = Decisions()
        self._times, self._moving_times = (pool.times(moving=moving) for moving in (False, True))
        self._sequence = 0
        self._index = -1
        self._now = float("-inf")

    # --- clients ---------------------------------------------------------------------------------

    def reserve(self, request: SeatRequest, now: float) -> Seat | SeatRefused:
        """Reserves a seat at the least loaded handler that may get clients and has room."""
        now = self._settle(now)
        if (repeated := self._repeated(request)) is not None:
            repeated.shared = True
            return self._seat(repeated)
        if request.exclude and not request.moving:
            self._handlers.doubt(request.exclude, request.uid, now)
        order = self._handlers.order
        chosen = order.choose(request.exclude, request.last, self._pool.affinity)
        refused = self._turns.refusal(request, chosen, now)
        if refused is not None:
            return refused
        assert chosen is not None
        if not request.moving and self._seats.at_limit(request.uid, self._pool.seats_per_user):
            replaced = self._seats.oldest_standby(request.uid)
            if replaced is None:
                return self._turns.at_limit(request.uid, now)
            self._cancel(replaced)
        self._sequence += 1
        self._decisions.record(
            self._sequence, now, request, chosen, order.head(request.exclude, request.last)
        )
        handler = self._handlers[chosen]
        handler.allocated = self._sequence
        self._handlers.take_in(handler, now)
        if request.slot is not None:
            self._turns.used(request.slot, now)
        guaranteed_s, hold_s, ticket_s = self._moving_times if request.moving else self._times
        # By position, which costs half of what names do.
        seat = SeatRecord(
            request.jti,
            request.uid,
            chosen,
            handler.epoch,
            now + guaranteed_s,
            now + hold_s,
            now + ticket_s,
            request.client_id,
            self._sequence,
            request.moving,
        )
        self._seats.add(seat)
        self._handlers.place(handler, now)
        return self._seat(seat)

    def reserve_all(self, requests: Sequence[SeatRequest], now: float) -> tuple[Seat | SeatRefused, ...]:
        """One after the other, with nothing in between."""
        return tuple(self.reserve(request, now) for request in requests)

    def cancel(self, jti: Jti, now: float) -> bool:
        """Gives an unconfirmed seat back. A seat that was given out twice stays held until it runs out."""
        self._settle(now)
        seat = self._seats.get(jti)
        if seat is None or seat.state not in UNCONFIRMED or seat.shared:
            return False
        self._cancel(seat)
        return True

    def locate(self, uid: Uid, now: float) -> Located | None:
        """Where that user connected last; else where a seat waits for them."""
        self._settle(now)
        user = self._seats.user(uid)
        if user is None:
            return None
        for seat in reversed(user.active.values()):
            if not self._handlers[seat.handler].silent:
                return self._located(seat, connected=True)
        all_seats = (*user.unconfirmed.values(), *user.moving.values(), *user.active.values())
        newest = max(all_seats, key=lambda seat: seat.sequence)
        return self._located(newest, connected=False)

    def seated(self, handler: HandlerId, uids: Iterable[Uid], now: float) -> frozenset[Uid]:
        """Who of these users has a seat at that handler, used or not."""
        self._settle(now)
        return frozenset(uid for uid in uids if self._sits(uid, handler))

    # --- handler processes -----------------------------------------------------------------------

    def hello(self, hello: Hello, now: float) -> ReportRefused | None:
        """A process introduces itself. A higher epoch is a new incarnation and voids every older seat.

        The same epoch again describes it anew. Such a hello may be late or doubled and has no
        sequence, so its count is only believed upwards; the next report sets it right.
        """
        now = self._settle(now)
        handler = self._handlers.get(hello.id)
        if handler is None:
            handler = HandlerRecord(hello.id, hello.url, hello.path, hello.capacity, hello.weight)
            self._handlers.add(handler)
        if hello.epoch < handler.epoch:
            return ReportRefused(ReportRefusal.STALE_EPOCH)
        if hello.epoch > handler.epoch:
            self._seats.lose(hello.id)
            handler.begin(hello, now)
        handler.describe(hello)
        handler.connections = max(handler.connections, hello.connections)
        self._settle_jtis(handler, hello.known, SeatEvent.CONFIRM)
        self._handlers.heard(handler, now)
        return None

    def report(self, report: Report, now: float) -> DrainOrder | ReportRefused | None:
        """Counts, confirmations, releases and heartbeat in one. The answer is what is wanted of the handler.

        A report with an old sequence changes nothing at all, not even the heartbeat: what it says of
        tickets is in the later one too, because a process repeats it until it is acknowledged.
        """
        now = self._settle(now)
        handler = self._handlers.get(report.id)
        if handler is None or handler.epoch < report.epoch:
            return ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
        if handler.epoch > report.epoch:
            return ReportRefused(ReportRefusal.STALE_EPOCH)
        if report.seq <= handler.seq:
            return handler.order(now)
        handler.seq, handler.connections = report.seq, report.connections
        handler.leaving = report.leaving
        self._settle_jtis(handler, report.confirmed, SeatEvent.CONFIRM)
        self._settle_jtis(handler, report.closed, SeatEvent.CLOSE)
        self._handlers.heard(handler, now)
        return handler.order(now)

    def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti, now: float) -> bool:
        """Whether a ticket whose guarantee has passed still finds room; it then holds a seat again.

        The handler has checked the ticket, so a `jti` that is not known here (the store was lost
        since) is as good as any.
        """
        now = self._settle(now)
        record = self._handlers.get(handler)
        if record is None or epoch == 0 or record.epoch != epoch or record.closed() is not None:
            return False
        seat = self._seats.get(jti)
        if seat is not None and (not _belongs(seat, record) or seat.state not in UNCONFIRMED):
            return False
        counted = seat is not None and seat.state is RESERVED
        if not counted and self._handlers.load(record) >= record.capacity:
            return False
        held_until = now + self._pool.hold_s
        if seat is None:
            self._seats.add(SeatRecord(jti, NOBODY, handler, epoch, now, held_until, held_until))
        else:
            # Its ticket is in use: from now on a repeated request needs another seat.
            seat.client_id, seat.held_until = None, max(seat.held_until, held_until)
            self._seats.apply(seat, SeatEvent.ADMIT)
        self._seats.counts[LATE] += 1
        self._handlers.place(record, now)
        return True

    # --- operators and the registry --------------------------------------------------------------

    def sync(self, index: int, known: Iterable[Known], now: float) -> None:
        """The registry's whole view of the pool; ignored unless `index` is newer than the last."""
        now = self._settle(now)
        if index <= self._index:
            return
        self._index = index
        self._handlers.sync(known, now)
        self._forget()

    def drain(self, handler: HandlerId, order: DrainOrder | None, now: float) -> bool:
        """What the operator wants of a handler's process. False for one that nobody knows."""
        now = self._settle(now)
        record = self._handlers.get(handler)
        if record is None:
            return False
        record.drain(order, now)
        self._handlers.place(record, now)
        return True

    def handler_gone(self, handler: HandlerId) -> int:
        """Forgets a handler for good; returns how many seats were lost with it."""
        return self._seats.lose(handler) if self._handlers.remove(handler) else 0

    def expire(self, now: float) -> int:
        """Settles what has run out without waiting for the next request; returns the seats it freed."""
        held = self._seats.all_held
        self._settle(now)
        self._forget()
        return held - self._seats.all_held

    def states(self, now: float) -> tuple[HandlerState, ...]:
        """Every handler as it stands, by id."""
        now = self._settle(now)
        handlers = sorted(self._handlers, key=lambda handler: handler.id)
        return tuple(self._handlers.seen(handler, now) for handler in handlers)

    def decision(self, sequence: int) -> Decision | None:
        """Why that seat was given where it was; `None` for one long ago."""
        return self._decisions.get(sequence)

    def counts(self) -> Mapping[str, int]:
        """What has become of seats, ever growing: confirmed, expired, cancelled, closed, late."""
        return self._seats.counts

    # --- one thing each --------------------------------------------------------------------------

    def _settle(self, now: float) -> float:
        """Ends what has run out by `now`, and returns the time to go on with."""
        if now < self._now:
            now = self._now
        self._now = now
        touched = set()
        for jti in self._seats.holds.due(now):
            if (seat := self._seats.get(jti)) is not None:
                touched.add(seat.handler)
                self._seats.apply(seat, HOLD_ENDS)
        for jti in self._seats.tickets.due(now):
            if (seat := self._seats.get(jti)) is not None:
                self._seats.apply(seat, SeatEvent.TICKET_ENDS)
        for name in touched:
            self._handlers.place(self._handlers[name], now)
        self._handlers.settle(now)
        return now

    def _repeated(self, request: SeatRequest) -> SeatRecord | None:
        """The seat that an earlier request of the same client got, while that is held and wanted."""
        user = self._seats.user(request.uid) if request.client_id is not None else None
        if user is None:
            return None
        seats = user.moving if request.moving else user.unconfirmed
        for seat in islice(reversed(seats.values()), REPEATS_LOOKED_AT):
            if seat.client_id != request.client_id or seat.state is not RESERVED:
                continue
            if seat.handler not in request.exclude and self._handlers[seat.handler].closed() is None:
                return seat
        return None

    def _sits(self, uid: Uid, handler: HandlerId) -> bool:
        user = self._seats.user(uid)
        return user is not None and any(
            seat.handler == handler
            for seats in (user.active, user.unconfirmed, user.moving)
            for seat in islice(reversed(seats.values()), REPEATS_LOOKED_AT)
        )

    def _cancel(self, seat: SeatRecord) -> None:
        self._seats.apply(seat, SeatEvent.CANCEL)
        self._handlers.place(self._handlers[seat.handler], self._now)

    def _settle_jtis(self, handler: HandlerRecord, jtis: Iterable[Jti], event: SeatEvent) -> None:
        """A process speaks for its own seats only; of others, and of unknown ones, nothing changes."""
        for jti in jtis:
            seat = self._seats.get(jti)
            if seat is not None and _belongs(seat, handler):
                self._seats.apply(seat, event)

    def _forget(self) -> None:
        for name in [handler.id for handler in self._handlers if handler.forgettable(self._now)]:
            self.handler_gone(name)

    def _seat(self, seat: SeatRecord) -> Seat:
        handler = self._handlers[seat.handler]
        return seat.seen(handler.url, handler.path, self._handlers.load(handler), self._now)

    def _located(self, seat: SeatRecord, *, connected: bool) -> Located:
        url = self._handlers[seat.handler].url
        return Located(seat.uid, seat.handler, seat.epoch, url, connected)

    def __repr__(self) -> str:
        return f"<SeatLedger: {len(self._handlers)} handlers, {self._seats!r}, {self._handlers!r}>"


def _belongs(seat: SeatRecord, handler: HandlerRecord) -> bool:
    """Whether the seat is this incarnation's: an older one's tickets are void."""
    return seat.handler == handler.id and seat.epoch == handler.epoch
