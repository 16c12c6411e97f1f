"""Seats while the store can't be asked: what one gateway knows by itself (ALLOCATION 2.9).

Rules of this file:

* It is an estimate, and every ticket says so: the handler's own gate is the last word. But whatever
  this estimate calls full, silent or unwanted gets nobody.
* Two at random, and the lesser of them. To take the least of a table that is out of date sends the
  clients of every gateway to the same handler (ALLOCATION 1 has the figures).
* Our own seats count once for every gateway, until the handler has reported them or their hold was over
  when it counted its clients.
* Time and chance are arguments. Every map is bounded.
"""

import random
from collections.abc import Iterable, Sequence

from handlers.model import (
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.roster import FORGET_AFTER_S, Listing
from handlers.standing import Standing

RETRY_WHEN_FULL_S = 5.0
"""Seats come free when clients leave, and nobody knows when."""
MOST_HANDLERS = 10_000
MOST_SEATS = 100_000
"""Given out here and not settled. Beyond that the oldest is no longer counted."""
MOST_CLIENTS = 10_000
"""Whose repeats get the same seat."""


class LocalLedger:
    """The seats of one pool, as one gateway would hand them out alone. It listens all the time, so that
    it knows enough at the moment in which the store falls silent."""

    def __init__(self, pool: PoolSettings, rng: random.Random) -> None:
        self._pool = pool
        self._rng = rng
        self._handlers: dict[HandlerId, Standing] = {}
        self._places: list[Standing] = []
        """The same, to pick from."""
        self._seats: dict[Jti, Seat] = {}
        self._users: dict[Uid, dict[Jti, Seat]] = {}
        """The same seats, oldest first."""
        self._clients: dict[tuple[Uid, str], Seat] = {}
        self._next_at = float("-inf")
        """When a client is told to come back that finds no token: one after the other."""

    # --- what is heard ---------------------------------------------------------------------------

    def adopt(self, states: Iterable[HandlerState], now: float, gateways: int) -> None:
        """The store's view, whole: what it does not know is not there. Its tokens are for all gateways."""
        told = {state.id: state for state in states}
        for name in [name for name in self._handlers if name not in told]:
            self._forget(name)
        for name, state in told.items():
            known = self._handlers.get(name)
            if known is not None and known.epoch > state.epoch:
                self._forget(name)
        self.merge(told.values(), now)
        for standing in self._places:
            standing.tokens, standing.tokens_at = told[standing.id].tokens / gateways, now

    def merge(self, states: Iterable[HandlerState], now: float) -> None:
        """What a store says that may not have heard of everybody again."""
        for state in states:
            standing = self._standing(state.id, state.url, state.path, now)
            if standing is not None:
                self._let_go(standing, standing.take_state(state, now, self._pool.hold_s))

    def listed(self, known: Iterable[Known], now: float) -> None:
        """The registry's view, whole."""
        listed = set()
        for entry in known:
            listed.add(entry.id)
            standing = self._standing(entry.id, entry.url, entry.path, now)
            if standing is not None:
                standing.list_as(entry, self._pool.capacity)
        for standing in self._places:
            if standing.id not in listed and standing.listing is not Listing.NEVER:
                standing.listing = Listing.DELISTED
        self._forget_the_gone(now)

    def hello(self, hello: Hello, now: float) -> ReportRefused | None:
        """A process introduces itself, as far as a gateway alone can judge that."""
        known = self._handlers.get(hello.id)
        if known is not None and hello.epoch < known.epoch:
            return ReportRefused(ReportRefusal.STALE_EPOCH)
        standing = self._standing(hello.id, hello.url, hello.path, now)
        if standing is not None:
            self._let_go(standing, standing.take_hello(hello, now))
        return None

    def report(self, report: Report, now: float) -> ReportRefused | None:
        """Counts, confirmations, releases and heartbeat. An old one says nothing that a later does not."""
        standing = self._handlers.get(report.id)
        if standing is None or standing.epoch < report.epoch:
            return ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
        if standing.epoch > report.epoch:
            return ReportRefused(ReportRefusal.STALE_EPOCH)
        if report.seq > standing.seq:
            self._let_go(standing, standing.take_report(report, now))
        return None

    def seated(self, seat: Seat) -> None:
        """The store gave out this seat, and with it told the load of that handler."""
        standing = self._handlers.get(seat.handler)
        if standing is not None:
            standing.promise(seat.load - standing.connections)

    # --- what is handed out ----------------------------------------------------------------------

    def reserve(self, request: SeatRequest, now: float, gateways: int) -> Seat | SeatRefused:
        """A seat without a guarantee. `gateways` is how many give out seats now, this one included."""
        if (repeated := self._repeated(request, now, gateways)) is not None:
            return repeated._replace(now=now)
        chosen = self._choose(request, now, gateways)
        if chosen is None:
            return self._refusal(request.exclude, now, gateways)
        held = [one for one in self._users.get(request.uid, {}).values() if one.held_until > now]
        if len(held) >= self._pool.seats_per_user and not request.moving:
            wait_s = min(one.held_until for one in held) - now
            return SeatRefused(SeatRefusal.RATE_LIMITED, wait_s, now=now)
        seat = Seat(
            jti=request.jti,
            uid=request.uid,
            handler=chosen.id,
            epoch=chosen.epoch,
            url=chosen.url,
            path=chosen.path,
            guaranteed_until=now,
            held_until=now + self._pool.hold_s,
            ticket_until=now + self._pool.ticket_s,
            now=now,
            load=chosen.load(now, gateways) + 1,
            sequence=0,
        )
        chosen.tokens -= 1.0
        chosen.own[seat.jti] = self._seats[seat.jti] = seat
        self._users.setdefault(seat.uid, {})[seat.jti] = seat
        if len(self._seats) > MOST_SEATS:
            self.cancel(next(iter(self._seats)))
        if request.client_id is not None:
            self._clients.pop((request.uid, request.client_id), None)
            self._clients[request.uid, request.client_id] = seat
            if len(self._clients) > MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
        return seat

    def cancel(self, jti: Jti) -> bool:
        """Gives a seat back. False if it was not given out here."""
        seat = self._take_out(jti)
        if seat is not None and (handler := self._handlers.get(seat.handler)) is not None:
            handler.own.pop(jti, None)
        return seat is not None

    def open(self, exclude: frozenset[HandlerId], now: float, gateways: int) -> list[Standing]:
        """Who but those may get clients, with or without room."""
        return [one for one in self._places if one.id not in exclude and self._opens(one, now, gateways)]

    def states(self, now: float, gateways: int) -> tuple[HandlerState, ...]:
        """Every handler as it is seen from here."""
        patience_s = self._patience_s(gateways)
        return tuple(one.seen(now, patience_s, gateways) for one in self._places)

    def unheard(self, states: Sequence[HandlerState], within_s: float, now: float, gateways: int) -> float:
        """The share of the open handlers that have not reported to the store for so long, or that it
        does not know as they are: 0 to 1. Who never reports is not waited for."""
        reported = {
            state.id: state.epoch
            for state in states
            if state.last_report_age_s is not None and state.last_report_age_s <= within_s
        }
        awaited = [one for one in self.open(frozenset(), now, gateways) if one.epoch > 0]
        missing = sum(reported.get(one.id, 0) < one.epoch for one in awaited)
        return missing / len(awaited) if awaited else 0.0

    # --- one thing each --------------------------------------------------------------------------

    def _repeated(self, request: SeatRequest, now: float, gateways: int) -> Seat | None:
        """The seat that the same client got before, while it is unused and still wanted."""
        if request.client_id is None:
            return None
        seat = self._clients.get((request.uid, request.client_id))
        if seat is None or seat.jti not in self._seats or now >= seat.held_until:
            return None
        wanted = seat.handler not in request.exclude
        return seat if wanted and self._opens(self._handlers[seat.handler], now, gateways) else None

    def _choose(self, request: SeatRequest, now: float, gateways: int) -> Standing | None:
        one = self._handlers.get(request.last) if request.last is not None else None
        if one is None or not self._takes(one, request.exclude, now, gateways):
            one = self._from_random_place(request.exclude, now, gateways)
        other = self._from_random_place(request.exclude, now, gateways)
        if one is None or other is None:
            return None
        lesser = other.load(now, gateways) / other.weight < one.load(now, gateways) / one.weight
        return other if lesser else one

    def _from_random_place(self, exclude: frozenset[HandlerId], now: float, gateways: int) -> Standing | None:
        places = self._places
        start = self._rng.randrange(len(places)) if places else 0
        for step in range(len(places)):
            # Backwards, so that the index runs past the first one to the last by itself.
            standing = places[start - step]
            if self._takes(standing, exclude, now, gateways):
                return standing
        return None

    def _takes(self, standing: Standing, exclude: frozenset[HandlerId], now: float, gateways: int) -> bool:
        """Whether it would get this client, if it were the lesser of two."""
        return (
            standing.id not in exclude
            and self._opens(standing, now, gateways)
            and standing.load(now, gateways) < standing.capacity
            and standing.refill(now, self._pool.joins_burst, gateways) >= 1.0
        )

    def _refusal(self, exclude: frozenset[HandlerId], now: float, gateways: int) -> SeatRefused:
        usable = self.open(exclude, now, gateways)
        if not usable:
            return SeatRefused(SeatRefusal.NO_HANDLERS, self._pool.dead_after_s, now=now)
        rates = [one.joins_per_s for one in usable if one.load(now, gateways) < one.capacity]
        if not rates:
            return SeatRefused(SeatRefusal.NO_CAPACITY, RETRY_WHEN_FULL_S, now=now)
        # No appointment, which only the store can keep: but one after the other, as tokens come.
        next_at = max(now, self._next_at) + gateways / sum(rates)
        wait_s, horizon_s = next_at - now, self._pool.horizon_s
        if wait_s > horizon_s:
            return SeatRefused(SeatRefusal.COME_BACK, self._rng.uniform(horizon_s / 2, horizon_s), now=now)
        self._next_at = next_at
        return SeatRefused(SeatRefusal.COME_BACK, wait_s, now=now)

    def _opens(self, standing: Standing, now: float, gateways: int) -> bool:
        return standing.is_open(now, self._patience_s(gateways))

    def _patience_s(self, gateways: int) -> float:
        # A handler that is refused by one gateway goes to the next, so each hears every so-many-eth report.
        return self._pool.dead_after_s * gateways

    def _standing(self, name: HandlerId, url: str, path: str, now: float) -> Standing | None:
        """The one that is known, or a new one; `None` when there are too many."""
        standing = self._handlers.get(name)
        if standing is None and len(self._handlers) < MOST_HANDLERS:
            pool = self._pool
            standing = Standing(name, url, path, pool.capacity, 1, pool.joins_per_s)
            standing.tokens, standing.tokens_at = float(pool.joins_burst), now
            standing.held_until = now + pool.hold_s
            self._handlers[name] = standing
            self._places.append(standing)
        return standing

    def _let_go(self, standing: Standing, jtis: Iterable[Jti]) -> None:
        for jti in jtis:
            standing.own.pop(jti, None)
            self._take_out(jti)

    def _take_out(self, jti: Jti) -> Seat | None:
        seat = self._seats.pop(jti, None)
        if seat is not None:
            of_user = self._users[seat.uid]
            del of_user[jti]
            if not of_user:
                del self._users[seat.uid]
        return seat

    def _forget(self, name: HandlerId) -> None:
        standing = self._handlers.pop(name)
        self._places.remove(standing)
        self._let_go(standing, list(standing.own))

    def _forget_the_gone(self, now: float) -> None:
        for standing in list(self._places):
            gone = standing.listing is Listing.DELISTED
            if gone and (standing.heard_at is None or now - standing.heard_at >= FORGET_AFTER_S):
                self._forget(standing.id)

    def __repr__(self) -> str:
        return f"<LocalLedger: {len(self._places)} handlers, {len(self._seats)} seats of its own>"
