"""Seat allocation said a second time, naively: lists and loops, no index, nothing kept that can be counted.

The machine compares every answer of a ledger or store with it.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from handlers.model import (
    DrainOrder,
    HandlerId,
    Hello,
    Jti,
    PoolSettings,
    Report,
    ReportRefusal,
    SeatRefusal,
    SeatRequest,
    Uid,
)
from handlers.roster import FORGET_AFTER_S
from handlers.throttle import SLACK


@dataclass
class OracleHandler:
    id: HandlerId
    capacity: int
    weight: int
    epoch: int = 0
    seq: int = 0
    connections: int = 0
    heard_at: float | None = None
    drain_by: float | None = None
    drain_rate: float | None = None
    maintained_by: float | None = None
    leaving: bool = False
    listing: str = "never"
    allocated: int = 0
    speaks: bool = False
    doubters: set[Uid] = field(default_factory=set)
    up_at: float = -math.inf
    ready_at: float = -math.inf
    joins: list[float] = field(default_factory=list)
    """When its process got clients: what it would say of I10."""

    def open(self, now: float, dead_after_s: float) -> bool:
        if self.epoch == 0 and self.speaks:
            return False
        patience_s = dead_after_s * (1.25 / 3 if len(self.doubters) >= 3 else 1)
        alive = self.epoch == 0 or (self.heard_at is not None and now < self.heard_at + patience_s)
        wanted = self.drain_by is None and not self.leaving and self.listing in ("never", "passing")
        return alive and wanted

    def order(self, now: float) -> DrainOrder | None:
        if self.drain_by is not None:
            return DrainOrder(max(0.0, self.drain_by - now), self.drain_rate)
        return None if self.maintained_by is None else DrainOrder(max(0.0, self.maintained_by - now))


@dataclass
class OracleSeat:
    uid: Uid
    handler: HandlerId
    epoch: int
    held_until: float
    ticket_until: float
    sequence: int
    client_id: str | None = None
    confirmed: bool = False
    shared: bool = False
    moving: bool = False


@dataclass
class Oracle:
    pool: PoolSettings
    handlers: dict[HandlerId, OracleHandler] = field(default_factory=dict)
    seats: dict[Jti, OracleSeat] = field(default_factory=dict)
    now: float = 0.0
    index: int = -1
    sequence: int = 0
    slots: list[float] = field(default_factory=list)
    """Appointments given, in their order."""
    used: set[float] = field(default_factory=set)

    def settle(self, now: float) -> None:
        self.now = now
        for jti, seat in list(self.seats.items()):
            if not seat.confirmed and max(seat.held_until, seat.ticket_until) <= now:
                del self.seats[jti]

    def held(self, handler: HandlerId) -> set[Jti]:
        return {
            jti
            for jti, seat in self.seats.items()
            if seat.handler == handler and not seat.confirmed and seat.held_until > self.now
        }

    def load(self, handler: OracleHandler) -> int:
        return handler.connections + len(self.held(handler.id))

    def open(self, exclude: Iterable[HandlerId] = ()) -> list[OracleHandler]:
        return [
            handler
            for handler in self.handlers.values()
            if handler.open(self.now, self.pool.dead_after_s) and handler.id not in exclude
        ]

    def with_room(self, exclude: Iterable[HandlerId]) -> list[OracleHandler]:
        return [handler for handler in self.open(exclude) if self.load(handler) < handler.capacity]

    def unconfirmed(self, uid: Uid, *, moving: bool = False) -> list[Jti]:
        mine = [
            jti
            for jti, seat in self.seats.items()
            if seat.uid == uid and not seat.confirmed and seat.moving is moving
        ]
        return sorted(mine, key=lambda jti: self.seats[jti].sequence)

    def repeated(self, request: SeatRequest) -> Jti | None:
        open_now = {handler.id for handler in self.open(request.exclude)}
        for jti in reversed(self.unconfirmed(request.uid, moving=request.moving)):
            seat = self.seats[jti]
            same = request.client_id is not None and seat.client_id == request.client_id
            if same and seat.held_until > self.now and seat.handler in open_now:
                return jti
        return None

    def at_limit(self, uid: Uid) -> bool:
        return len(self.unconfirmed(uid)) >= self.pool.seats_per_user

    def no_longer_held(self, uid: Uid) -> list[Jti]:
        """What a new seat of that user may replace, oldest first."""
        return [jti for jti in self.unconfirmed(uid) if self.seats[jti].held_until <= self.now]

    def choice(self, request: SeatRequest) -> HandlerId | tuple[SeatRefusal, float | None]:
        """The handler, or why there is none and the appointment."""
        order = self.in_order(request.exclude)
        if not self.with_room(request.exclude):
            full = self.open(request.exclude)
            return (SeatRefusal.NO_CAPACITY if full else SeatRefusal.NO_HANDLERS), None
        if request.moving and not order:
            return SeatRefusal.NO_CAPACITY, None
        kept = request.slot is not None and self.keeps(request.slot)
        if kept and (self.now < (request.slot or 0.0) or not order):
            return SeatRefusal.COME_BACK, request.slot
        if not request.moving and self.at_limit(request.uid) and not self.no_longer_held(request.uid):
            return SeatRefusal.RATE_LIMITED, None
        if not order or not (request.moving or kept or self.last_slot <= self.now):
            return SeatRefusal.COME_BACK, self.appointment()
        best = order[0]
        hinted = [h for h in order if h.id == request.last]
        if hinted and self.share(hinted[0]) <= (1 + self.pool.affinity) * self.share(best) + 1:
            return hinted[0].id
        return best.id

    def share(self, handler: OracleHandler) -> float:
        return self.load(handler) / handler.weight

    def in_order(self, exclude: Iterable[HandlerId]) -> list[OracleHandler]:
        ready = [handler for handler in self.with_room(exclude) if handler.ready_at <= self.now]
        return sorted(ready, key=lambda h: (self.share(h), h.allocated, h.id))

    def doubt(self, request: SeatRequest) -> None:
        for name in request.exclude:
            if name in self.handlers and not request.moving:
                self.handlers[name].doubters.add(request.uid)

    def new(self) -> list[OracleHandler]:
        """Those that start slowly: nobody, while they are the most."""
        new = [handler for handler in self.open() if self.now - handler.up_at < self.pool.slow_start_s]
        return new if 2 * len(new) <= len(self.open()) else []

    def rate(self, handler: OracleHandler) -> float:
        if not self.new() or self.now - handler.up_at >= self.pool.slow_start_s:
            return self.pool.joins_per_s
        return self.pool.joins_per_s * max(0.1, (self.now - handler.up_at) / self.pool.slow_start_s)

    def keeps(self, slot: float) -> bool:
        return abs(slot - self.now) <= self.pool.horizon_s and slot not in self.used

    @property
    def last_slot(self) -> float:
        return max(self.slots, default=-math.inf)

    def appointment(self) -> float | None:
        pool, new = self.pool, len(self.new()) / max(1, len(self.open()))
        rate = len(self.with_room(())) * pool.joins_per_s * (1 - new / 2)
        slot = max(self.last_slot, self.now + 1 / pool.joins_per_s) + 1 / rate
        if slot > self.now + pool.horizon_s:
            return None
        self.slots.append(slot)
        return slot

    def reserve(self, request: SeatRequest, handler: HandlerId) -> None:
        if request.slot is not None and self.keeps(request.slot):
            self.used.add(request.slot)
        if not request.moving and self.at_limit(request.uid):
            del self.seats[self.no_longer_held(request.uid)[0]]
        self.sequence += 1
        chosen, hold_s = self.handlers[handler], self.pool.guaranteed_s + self.pool.dead_after_s
        chosen.allocated = self.sequence
        burst_s = (self.pool.joins_burst - 1 + SLACK) / self.pool.joins_per_s
        chosen.ready_at = max(chosen.ready_at, self.now - burst_s) + 1 / self.rate(chosen)
        self.seats[request.jti] = OracleSeat(
            uid=request.uid,
            handler=handler,
            epoch=chosen.epoch,
            held_until=self.now + (self.pool.moving_s + self.pool.dead_after_s if request.moving else hold_s),
            ticket_until=self.now + max(self.pool.ticket_s, self.pool.moving_s if request.moving else 0.0),
            sequence=self.sequence,
            client_id=request.client_id,
            moving=request.moving,
        )

    def cancel(self, jti: Jti) -> bool:
        seat = self.seats.get(jti)
        if seat is None or seat.confirmed or seat.shared:
            return False
        del self.seats[jti]
        return True

    def hello(self, hello: Hello) -> ReportRefusal | None:
        handler = self.handlers.setdefault(hello.id, OracleHandler(hello.id, hello.capacity, hello.weight))
        if hello.epoch < handler.epoch:
            return ReportRefusal.STALE_EPOCH
        if hello.epoch > handler.epoch:
            self.lose(hello.id)
            if handler.epoch:
                handler.drain_by = None
            if handler.listing == "delisted":
                handler.listing = "never"
            handler.epoch, handler.seq, handler.connections, handler.leaving = hello.epoch, 0, 0, False
            handler.up_at, handler.ready_at = -math.inf if hello.connections else self.now, -math.inf
            handler.joins = []
        handler.capacity, handler.weight, handler.heard_at = hello.capacity, hello.weight, self.now
        handler.connections = max(handler.connections, hello.connections)
        handler.doubters = set()
        self.confirm(hello.id, hello.epoch, hello.known)
        return None

    def report(self, report: Report) -> DrainOrder | ReportRefusal | None:
        handler = self.handlers.get(report.id)
        if handler is None or handler.epoch < report.epoch:
            return ReportRefusal.UNKNOWN_HANDLER
        if handler.epoch > report.epoch:
            return ReportRefusal.STALE_EPOCH
        if report.seq > handler.seq:
            handler.seq, handler.connections, handler.heard_at = report.seq, report.connections, self.now
            handler.leaving, handler.doubters = report.leaving, set()
            self.confirm(report.id, report.epoch, report.confirmed)
            for jti in report.closed:
                seat = self.seats.get(jti)
                if seat is not None and (seat.handler, seat.epoch) == (report.id, report.epoch):
                    del self.seats[jti]
        return handler.order(self.now)

    def confirm(self, handler: HandlerId, epoch: int, jtis: Iterable[Jti]) -> None:
        for jti in jtis:
            seat = self.seats.get(jti)
            if seat is not None and (seat.handler, seat.epoch) == (handler, epoch):
                seat.confirmed = True

    def admit_late(self, name: HandlerId, epoch: int, jti: Jti) -> bool:
        handler = self.handlers.get(name)
        if handler is None or handler not in self.open() or handler.epoch != epoch:
            return False
        seat = self.seats.get(jti)
        if seat is not None and (seat.confirmed or (seat.handler, seat.epoch) != (name, epoch)):
            return False
        if jti not in self.held(name) and self.load(handler) >= handler.capacity:
            return False
        held_until = self.now + self.pool.hold_s
        if seat is None:
            self.seats[jti] = OracleSeat(Uid(""), name, epoch, held_until, held_until, 0)
        else:
            seat.held_until, seat.client_id = max(seat.held_until, held_until), None
        return True

    def drain(self, name: HandlerId, order: DrainOrder | None) -> bool:
        handler = self.handlers.get(name)
        if handler is None:
            return False
        handler.drain_by = None if order is None else self.now + order.remaining_s
        handler.drain_rate = None if order is None else order.rate
        return True

    def sync(self, index: int, listed: dict[HandlerId, str], speaking: Collection[HandlerId] = ()) -> None:
        if index <= self.index:
            return
        self.index = index
        for name, listing in listed.items():
            handler = self.handlers.setdefault(name, OracleHandler(name, self.pool.capacity, 1))
            handler.listing = listing
            if listing != "maintenance":
                handler.maintained_by = None
            elif handler.maintained_by is None:
                handler.maintained_by = self.now + self.pool.drain_s
            handler.speaks = name in speaking
        for handler in self.handlers.values():
            if handler.id not in listed and handler.listing != "never":
                handler.listing, handler.maintained_by = "delisted", None
        self.forget()

    def forget(self) -> None:
        for handler in list(self.handlers.values()):
            silent = handler.heard_at is None or self.now - handler.heard_at >= FORGET_AFTER_S
            if handler.listing in ("never", "delisted") and silent:
                self.lose(handler.id)
                del self.handlers[handler.id]

    def lose_all(self) -> None:
        """The store was emptied. What the registry said is told again by those who know it."""
        self.handlers, self.seats, self.index, self.sequence = {}, {}, -1, 0
        self.slots, self.used = [], set()

    def lose(self, handler: HandlerId) -> None:
        self.seats = {jti: seat for jti, seat in self.seats.items() if seat.handler != handler}
