"""Hands out seats: asks the store, signs the ticket, and answers handler processes.

While the store does not answer, or has forgotten who is there, the standby hands out seats. That listens
all the time to what passes here, so no client waits longer than the one call that told of the outage.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import structlog

from handlers import address
from handlers.answers import ComeBack, Grant, HelloAnswer, ReportAnswer
from handlers.fleet import FleetSnapshot, fleet
from handlers.grants import grant, session_of
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
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.outage import DEGRADED, Mode
from handlers.queue_token import QueueTokens
from handlers.runtime.departures import Departures
from handlers.runtime.standby import Standby
from handlers.stores.base import Store, StoreUnreachable
from handlers.ticket import TicketSecrets, audience
from registry.model import ServiceSnapshot, Status
from registry.runtime.clock import unix_now

log = structlog.get_logger()

MAX_EXCLUDED = 16
"""Handlers that one client may rule out; more are ignored."""
BOOK_FULL_S = 0.5
"""So long after the store had no appointment left it is not asked for one."""
NO_HANDLERS: frozenset[HandlerId] = frozenset()
DOUBT_AGAIN_S = 0.25
"""A store that knows no handler is asked whether it has lost them, not more often than this."""


class Allocator:
    """One pool of handlers. `clock` tells unix seconds, `monotonic` those that never jump; `gateways` how
    many of them hand out seats now, this one included.

    Raises `StoreUnreachable` and nothing else, except `hello` for a hello that can't be right;
    `allocate`, `hello`, `cancel` and `mode` work without the store. A `Sweeper` must be running: it also
    finds out that the store is back.
    """

    def __init__(
        self,
        store: Store,
        pool: PoolSettings,
        secrets: TicketSecrets,
        *,
        clock: Callable[[], float] = unix_now,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        gateways: Callable[[], int] = lambda: 1,
        rebalance: bool = False,
    ) -> None:
        self.pool = pool
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._monotonic = monotonic
        # A ticket's name must not be guessable: whoever knows one could have it refused as used.
        self._rng = rng or random.SystemRandom()
        self._queue = QueueTokens(pool.name, secrets.queue_keys())
        self._book_full_until = float("-inf")
        self._fleet = FleetSnapshot(pool.joins_per_s)
        self._standby = Standby(pool, clock=monotonic, rng=self._rng, gateways=gateways)
        self._departures = Departures(
            store,
            self._standby,
            secrets,
            rebalance=rebalance,
            clock=clock,
            monotonic=monotonic,
            rng=self._rng,
            gateways=gateways,
        )
        self._left_out: dict[str, str] = {}
        self._doubt = asyncio.Lock()
        self._doubt_again_at = float("-inf")

    @property
    def mode(self) -> Mode:
        return self._standby.mode

    def counts(self) -> Mapping[str, int]:
        """What this process' calls have settled in the store, ever growing, by what became of the seat."""
        return self._store.counts()

    # --- clients ---------------------------------------------------------------------------------

    async def allocate(
        self,
        uid: str,
        *,
        client_id: str | None = None,
        last: str | None = None,
        exclude: Iterable[str] = (),
        session_id: str | None = None,
        queue_token: str | None = None,
    ) -> Grant | SeatRefused | ComeBack:
        """A seat and its ticket. Repeats with the same `client_id` get the same seat while it is held.
        `session_id` is what the client resumes, `queue_token` the appointment it was given."""
        request = SeatRequest(
            Uid(uid),
            Jti(self._rng.randbytes(16).hex()),
            client_id,
            None if last is None else HandlerId(last),
            frozenset(map(HandlerId, islice(exclude, MAX_EXCLUDED))) if exclude else NO_HANDLERS,
            None if queue_token is None else self._queue.slot(uid, queue_token),
        )
        before = self._clock()
        if self._standby.mode is DEGRADED:
            return self._estimate(request, before, session_id)
        if request.slot is None and self._monotonic() < self._book_full_until:
            return self._come_back_some_time()
        try:
            seat = await self._store.alloc(request)
        except StoreUnreachable:
            self._standby.failed()
            # Another name: the store may have reserved a seat for this one, and tell so of it later.
            return self._estimate(
                request._replace(jti=Jti(self._rng.randbytes(16).hex())), before, session_id
            )
        if isinstance(seat, SeatRefused):
            if seat.reason is SeatRefusal.COME_BACK:
                return self._appointment(uid, seat)
            if seat.reason is SeatRefusal.NO_HANDLERS and await self._store_forgot(request):
                return self._estimate(request, before, session_id)
            return seat
        self._standby.seated(seat)
        advice = self._fleet.advice(seat.handler, seat.load)
        return grant(seat, before, self._secrets, advice, session_of(seat, session_id))

    def _estimate(
        self, request: SeatRequest, before: float, session_id: str | None
    ) -> Grant | SeatRefused | ComeBack:
        seat = self._standby.reserve(request)
        if isinstance(seat, SeatRefused):
            come_back = seat.reason is SeatRefusal.COME_BACK
            return ComeBack(seat.retry_after_s, None, None) if come_back else seat
        advice = self._fleet.advice(seat.handler, seat.load)
        session_id = session_of(seat, session_id)
        return grant(seat, before, self._secrets, advice, session_id, degraded=True)

    async def _store_forgot(self, request: SeatRequest) -> bool:
        """Whether there are handlers for that client, and the store has lost them."""
        async with self._doubt:
            exact = self._standby.mode is Mode.EXACT
            if (
                exact
                and self._monotonic() >= self._doubt_again_at
                and self._standby.knows_of_any(request.exclude)
            ):
                # One look is enough for all who are refused in this moment.
                self._doubt_again_at = self._monotonic() + DOUBT_AGAIN_S
                try:
                    await self._refresh()
                except StoreUnreachable:
                    pass
        return self._standby.mode is Mode.DEGRADED

    def _appointment(self, uid: str, refused: SeatRefused) -> ComeBack:
        if refused.slot is None:
            self._book_full_until = self._monotonic() + BOOK_FULL_S
            return self._come_back_some_time()
        token = self._queue.sign(uid, refused.slot)
        # Not the slot: who was in time and found nobody ready keeps it, and comes for the next token.
        retry_at_ms = round((self._clock() + refused.retry_after_s) * 1000)
        return ComeBack(refused.retry_after_s, token, retry_at_ms)

    def _come_back_some_time(self) -> ComeBack:
        horizon_s = self.pool.horizon_s
        return ComeBack(self._rng.uniform(horizon_s / 2, horizon_s), None, None)

    async def cancel(self, jti: Jti) -> None:
        """Gives a seat back whose answer never reached its client. If that fails, its hold runs out."""
        if self._standby.cancel(jti):
            return
        try:
            await self._standby.asked(self._store.cancel(jti))
        except StoreUnreachable:
            log.info("seat_not_cancelled", reason="store_unreachable")

    async def locate(self, uid: str) -> Located | None:
        """Where that user sits, `None` for one without a seat."""
        return await self._standby.asked(self._store.locate(Uid(uid)))

    # --- handler processes -----------------------------------------------------------------------

    async def hello(self, hello: Hello) -> HelloAnswer | ReportRefused:
        """Takes a handler process in and gives it its ticket key. Raises `BadAddress` (a `ValueError`)
        for a field that can't be right; `address.check_hello` tells that without asking the store."""
        address.check_hello(hello)
        try:
            refused = await self._standby.asked(self._store.hello(hello))
        except StoreUnreachable:
            # Its key follows from the cluster's secret, and its reports will tell the store of it.
            refused = None
        refused = refused or self._standby.hello(hello)
        if refused is not None:
            log.warning("hello_refused", handler=hello.id, epoch=hello.epoch, reason=refused.reason.value)
            return refused
        log.info("handler_said_hello", handler=hello.id, epoch=hello.epoch, capacity=hello.capacity)
        return HelloAnswer(
            key=self._secrets.key_for(hello.id, hello.epoch),
            previous=self._secrets.previous_for(hello.id, hello.epoch),
            audience=audience(hello.id),
            issuer=self._secrets.issuer,
            pool=self.pool,
            advice=self._fleet.advice(hello.id, hello.connections),
        )

    async def report(self, report: Report) -> ReportAnswer | ReportRefused:
        """Takes a handler's counts; the answer says what is wanted of it.

        While the store is away its counts are noted here, and `StoreUnreachable` is raised all the same: what
        it tells of tickets, it must tell again.
        """
        try:
            told = await self._standby.asked(self._store.report(report))
        except StoreUnreachable:
            # One that is not known says hello, which a gateway that has just started needs.
            unknown = self._standby.report(report)
            if unknown is None:
                raise
            told = unknown
        if isinstance(told, ReportRefused):
            log.info("report_refused", handler=report.id, epoch=report.epoch, reason=told.reason.value)
            return told
        self._standby.report(report)
        return ReportAnswer(
            draining=told is not None,
            advice=self._fleet.advice(report.id, report.connections),
            drain=told,
            rebalance=0 if told is not None else self._departures.wanted(report, self._fleet),
            migrate=await self._departures.seats(report, draining=told is not None),
        )

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        """Whether a ticket past its guarantee still finds room at that handler."""
        return await self._standby.asked(self._store.admit_late(handler, epoch, jti))

    # --- operators and the registry --------------------------------------------------------------

    async def sync(self, snapshot: ServiceSnapshot) -> None:
        """Takes over what the registry says of the handlers' service; nothing, while it can't be asked."""
        if snapshot.status is Status.UNREACHABLE:
            return
        handlers = self._described(snapshot)
        self._standby.listed(handlers)
        await self._standby.asked(self._store.sync(snapshot.version, handlers))
        await self._refresh()

    def _described(self, snapshot: ServiceSnapshot) -> list[Known]:
        """Those that say nothing wrong of themselves."""
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
        return handlers

    async def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        """Takes a handler's process out of use, or back (`None`). False for one that nobody knows."""
        known = await self._standby.asked(self._store.drain(handler, order))
        await self._refresh()
        return known

    async def states(self) -> tuple[HandlerState, ...]:
        return await self._standby.asked(self._store.states())

    async def view(self) -> tuple[HandlerState, ...]:
        """The states, or what this gateway believes by itself while the store is not relied on."""
        if self.mode is not DEGRADED:
            try:
                return await self.states()
            except StoreUnreachable:
                pass
        return self._standby.states()

    async def decision(self, sequence: int) -> Decision | None:
        """Why the seat of that number went where it did; `None` when that is too long ago."""
        return await self._standby.asked(self._store.decision(sequence))

    async def sweep(self) -> int:
        """Lets go of what has run out; returns how many seats that freed."""
        freed = await self._standby.asked(self._store.sweep())
        await self._refresh()
        return freed

    async def _refresh(self) -> None:
        states = await self._standby.asked(self._store.states())
        self._fleet = fleet(states, self.pool.joins_per_s)
        self._standby.seen(states)

    def __repr__(self) -> str:
        return f"<Allocator {self.pool.name}: {self.mode.value}, {len(self._fleet.open)} handlers open>"
