"""Hands out seats: asks the store, signs the ticket, and answers handler processes.

Store time and unix time: the store's clock may be any clock, so its instants are never read as unix
times. A seat carries the store's `now` of its answer; what is left until `guaranteed_until` and
`ticket_until` is a duration, and is added to the unix time taken *before* the store was asked. So a
slow answer shortens a guarantee and never makes it longer than the store's hold.
"""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import structlog

from handlers import address
from handlers.advice import advise
from handlers.answers import Grant, HelloAnswer, ReportAnswer
from handlers.model import (
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
from handlers.roster import FULL, Closed
from handlers.stores.base import Store, StoreUnreachable
from handlers.ticket import TicketClaims, TicketSecrets, audience, sign
from registry.model import ServiceSnapshot, Status
from registry.runtime.clock import unix_now

log = structlog.get_logger()

MAX_EXCLUDED = 16
"""Handlers that one client may rule out; more are ignored."""
_DRAINING = frozenset({Closed.DRAINING.value, Closed.MAINTENANCE.value})


@dataclass(frozen=True, slots=True)
class Fleet:
    """What answers need to know of all handlers. Refreshed by `sync`, `drain` and `sweep`."""

    handlers: int = 0
    draining: frozenset[HandlerId] = frozenset()


class Allocator:
    """One pool of handlers. `clock` tells unix seconds. Raises `StoreUnreachable` and nothing else,
    except `hello` for a hello that can't be right."""

    def __init__(
        self,
        store: Store,
        pool: PoolSettings,
        secrets: TicketSecrets,
        *,
        clock: Callable[[], float] = unix_now,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._secrets = secrets
        self._clock = clock
        # A ticket's name must not be guessable: whoever knows one could have it refused as used.
        self._rng = rng or random.SystemRandom()
        self._fleet = Fleet()
        self._left_out: dict[str, str] = {}

    # --- clients ---------------------------------------------------------------------------------

    async def allocate(
        self,
        uid: str,
        *,
        client_id: str | None = None,
        last: str | None = None,
        exclude: Iterable[str] = (),
    ) -> Grant | SeatRefused:
        """A seat and its ticket. Repeats with the same `client_id` get the same seat while it is held."""
        request = SeatRequest(
            uid=Uid(uid),
            jti=Jti(self._rng.randbytes(16).hex()),
            client_id=client_id,
            last=None if last is None else HandlerId(last),
            exclude=frozenset(map(HandlerId, islice(exclude, MAX_EXCLUDED))),
        )
        before = self._clock()
        seat = await self._store.alloc(request)
        return seat if isinstance(seat, SeatRefused) else self._grant(seat, before)

    def _grant(self, seat: Seat, before: float) -> Grant:
        # In whole milliseconds, so that 59.999999999 is a minute and not 59 seconds.
        lasts_ms = round((seat.ticket_until - seat.now) * 1000)
        guaranteed_ms = max(0, min(round((seat.guaranteed_until - seat.now) * 1000), lasts_ms))
        claims = TicketClaims(
            issuer=self._secrets.issuer,
            handler=seat.handler,
            epoch=seat.epoch,
            uid=seat.uid,
            jti=seat.jti,
            issued_at=math.floor(before),
            expires_at=math.floor(before + lasts_ms / 1000),
            guaranteed_until=round(before * 1000 + guaranteed_ms) / 1000,
            session_id=seat.jti,
        )
        return Grant(
            handler_id=seat.handler,
            url=seat.url,
            websocket_url=address.websocket_url(seat.url, seat.path),
            ticket=sign(claims, self._secrets.key_for(seat.handler, seat.epoch)),
            ticket_expires_in=lasts_ms // 1000,
            guaranteed_for=guaranteed_ms // 1000,
            session_id=claims.session_id,
            advice=advise(seat.load, self._fleet.handlers),
            jti=seat.jti,
        )

    async def cancel(self, jti: Jti) -> None:
        """Gives a seat back whose answer never reached its client. If that fails, its hold runs out."""
        try:
            await self._store.cancel(jti)
        except StoreUnreachable:
            log.warning("seat_not_cancelled", reason="store_unreachable")

    async def locate(self, uid: str) -> Located | None:
        """Where that user sits, `None` for one without a seat."""
        return await self._store.locate(Uid(uid))

    # --- handler processes -----------------------------------------------------------------------

    async def hello(self, hello: Hello) -> HelloAnswer | ReportRefused:
        """Takes a handler process in and gives it its ticket key. Raises `BadAddress` (a `ValueError`)
        for a field that can't be right; `address.check_hello` tells that without asking the store."""
        address.check_hello(hello)
        refused = await self._store.hello(hello)
        if refused is not None:
            log.warning("hello_refused", handler=hello.id, epoch=hello.epoch, reason=refused.reason.value)
            return refused
        log.info("handler_said_hello", handler=hello.id, epoch=hello.epoch, capacity=hello.capacity)
        return HelloAnswer(
            key=self._secrets.key_for(hello.id, hello.epoch),
            previous=self._secrets.previous_for(hello.id, hello.epoch),
            audience=audience(hello.id),
            issuer=self._secrets.issuer,
            pool=self._pool,
            advice=advise(hello.connections, self._fleet.handlers),
        )

    async def report(self, report: Report) -> ReportAnswer | ReportRefused:
        """Takes a handler's counts; the answer says what is wanted of it."""
        wanted = await self._store.report(report)
        if isinstance(wanted, ReportRefused):
            log.info("report_refused", handler=report.id, epoch=report.epoch, reason=wanted.reason.value)
            return wanted
        return ReportAnswer(
            draining=report.id in self._fleet.draining,
            advice=advise(report.connections, self._fleet.handlers),
        )

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        """Whether a ticket past its guarantee still finds room at that handler."""
        return await self._store.admit_late(handler, epoch, jti)

    # --- operators and the registry --------------------------------------------------------------

    async def sync(self, snapshot: ServiceSnapshot) -> None:
        """Takes over what the registry says of the handlers' service; nothing, while it can't be asked."""
        if snapshot.status is Status.UNREACHABLE:
            return
        usable = {instance.id for instance in snapshot.usable}
        handlers: list[Known] = []
        left_out: dict[str, str] = {}
        for instance in snapshot.instances:
            try:
                handlers.append(address.known(instance, usable=instance.id in usable))
            except address.BadAddress as bad:
                left_out[instance.id] = str(bad)
        for name, reason in left_out.items():
            if self._left_out.get(name) != reason:
                log.warning("handler_left_out", handler=name, reason=reason)
        self._left_out = left_out
        await self._store.sync(snapshot.version, handlers)
        await self._refresh()

    async def drain(self, handler: HandlerId, *, draining: bool) -> bool:
        """Takes a handler out of use, or back. False for one that nobody knows."""
        known = await self._store.drain(handler, DrainOrder(self._pool.drain_s) if draining else None)
        await self._refresh()
        return known

    async def states(self) -> tuple[HandlerState, ...]:
        return await self._store.states()

    async def sweep(self) -> int:
        """Lets go of what has run out; returns how many seats that freed."""
        freed = await self._store.sweep()
        await self._refresh()
        return freed

    async def _refresh(self) -> None:
        states = await self._store.states()
        self._fleet = Fleet(
            handlers=sum(state.why_not in ("", FULL) for state in states),
            draining=frozenset(state.id for state in states if state.why_not in _DRAINING),
        )

    def __repr__(self) -> str:
        return f"<Allocator {self._pool.name}: {self._fleet.handlers} handlers in use>"
