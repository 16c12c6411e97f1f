"""The SDK of a handler process: a WebSocket endpoint that only admits clients with a good ticket.

node = HandlerNode(handler_id="WSH1", gateways=["http://127.0.0.1:8000"],
                   public_url="http://127.0.0.1:8001", capacity=1000)

async def chat(request: web.Request) -> web.StreamResponse:
    async with node.session(request) as session:
        async for message in session.socket:
            await session.socket.send_str(f"{session.uid}: {message.data}")
    return session.socket

app = web.Application()
app.router.add_get("/ws", chat)
node.attach(app)
web.run_app(app, port=8001)
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import WSCloseCode, web

from handlers import address, control_frames
from handlers.admission import AdmissionLedger
from handlers.closing import CloseCode, Refusal, TurnedAway
from handlers.heard import Noted
from handlers.model import HandlerId, Hello, Jti
from handlers.outbox import Outbox
from handlers.runtime.adviser import Adviser
from handlers.runtime.client_socket import Session
from handlers.runtime.door import Door, Refused, answer_refused
from handlers.runtime.gateway_client import GatewayClient
from handlers.runtime.gateway_link import GatewayLink
from handlers.runtime.moves import Hook, Mover
from handlers.runtime.redaction import tickets_unlogged
from handlers.runtime.stop_signals import stop, stop_signals
from handlers.ticket import Purpose
from registry.runtime.clock import unix_now
from registry.runtime.registration import register
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

STATS = "/stats"
AGAIN_S = 0.5
"""Before a loop that an error has ended starts anew: soon enough for reports to keep us alive."""
LAST_WAIT_S = 0.2
"""For the system to send a close frame to a client whose answer can't come in any more."""


__all__ = ["HandlerNode", "Hook", "Refused", "Session"]


class HandlerNode:
    """One handler process.

    `gateways` are URLs, any of which may be told; `pool` is the pool it belongs to, for gateways with
    several. `consul` `None` leaves the registry alone. `origins` are the pages that may open sockets
    here; `None` means any, which is right only where tickets are not kept in cookies (they are not, by
    default).

    When it is drained, or gets SIGTERM or SIGINT under `web.run_app`, its clients are moved to other
    handlers: `on_migrate_out(session)` is awaited before one is told to go, `on_migrate_in(session)`
    before one that came so is welcomed. A stop takes `drain_s` seconds at most, and who could not be
    moved is closed over the last `leave_s` of them (at most a fifth): give the process some seconds more
    than `drain_s` before it is killed. A second signal stops it at once.

    Raises `ValueError` for arguments that can't be right.
    """

    def __init__(
        self,
        *,
        handler_id: str,
        gateways: Sequence[str],
        public_url: str,
        capacity: int,
        internal_key: str | None = None,
        pool: str | None = None,
        path: str = "/ws",
        weight: int = 1,
        service: str = "websocket-handler",
        consul: str | None = "127.0.0.1:8500",
        consul_token: str = "",
        address_in_registry: str = "",
        port: int | None = None,
        origins: Collection[str] | None = None,
        heartbeat_s: float = 20.0,
        max_msg_size: int = 262_144,
        ticket_within_s: float = 5.0,
        drain_s: float = 25.0,
        leave_s: float = 5.0,
        on_migrate_out: Hook | None = None,
        on_migrate_in: Hook | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = unix_now,
    ) -> None:
        self.id = HandlerId(handler_id)
        self.epoch = int(clock() * 1000)
        self._hello = Hello(
            self.id, self.epoch, address.public_url(public_url), address.path(path), capacity, weight
        )
        address.check_hello(self._hello)
        self._service, self._consul, self._consul_token = service, consul, consul_token
        self._address, self._port = address_in_registry, port or urlsplit(public_url).port
        if consul is not None and self._port is None:
            raise ValueError("public_url names no port and port is not given: the registry needs one")
        if drain_s <= 0 or leave_s < 0:
            raise ValueError("drain_s must be above 0 and leave_s at least 0: both are seconds")
        self._drain_s, self._leave_s = drain_s, leave_s
        self._rng = rng or random.SystemRandom()
        self._clock = clock
        self._gate = AdmissionLedger(capacity)
        self._sessions: dict[Jti, Session] = {}
        self._leaving: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self.turned_away: Counter[Refusal] = Counter()
        """How many clients did not get in, by reason."""
        self._adviser = Adviser(self._sessions.values)
        self._client = GatewayClient(gateways, internal_key=internal_key, pool=pool)
        self._link = GatewayLink(
            self._client, self._describe, Outbox(self.id, self.epoch), rng=self._rng, heard=self._heard
        )
        self._on_migrate_in = on_migrate_in
        self._mover = Mover(
            self._link,
            self._sessions.values,
            on_migrate_out=on_migrate_out,
            spread_s=leave_s,
            rng=self._rng,
        )
        self._door = Door(
            self._gate,
            self._link,
            origins=origins,
            heartbeat_s=heartbeat_s,
            max_msg_size=max_msg_size,
            ticket_within_s=ticket_within_s,
            clock=self._unix,
        )

    @property
    def ready(self) -> bool:
        """Whether clients with a ticket get in: introduced, and neither draining nor replaced."""
        return self._link.gatekeeper is not None and not self._link.closed

    @property
    def sessions(self) -> Collection[Session]:
        """The clients that are connected now."""
        return tuple(self._sessions.values())

    @property
    def reconnect(self) -> dict[str, Any]:
        """Advice to pass on to clients: when to come back if this process dies."""
        return dict(self._link.reconnect)

    def stats(self) -> dict[str, Any]:
        """How things are here, as `/stats` tells."""
        return {
            "handler_id": self.id,
            "epoch": self.epoch,
            "connections": self._gate.connections,
            "capacity": self._hello.capacity,
            "ready": self.ready,
            "draining": self._link.closed,
            "turned_away": {reason.value: count for reason, count in self.turned_away.items()},
        }

    async def leave(self) -> None:
        """Moves the clients to other handlers; takes `drain_s` at most. Nobody new gets in from now on.

        `web.run_app` with `attach` does this by itself. Under another runner await it before the
        application shuts down.
        """
        self._link.leaving = True
        self._mover.leave_by(time.monotonic() + self._drain_s)
        try:
            async with asyncio.timeout(self._drain_s):
                await self._link.report()
                await self._empty.wait()
        except TimeoutError:
            log.warning("clients_left_behind", handler=self.id, clients=len(self._sessions))

    def attach(self, app: web.Application) -> None:
        """Makes the app register, report, and see its clients off when it stops.

        Adds `GET /stats` too, unless the app has a route of that path by now.
        """
        if self._consul is not None:
            assert self._port is not None
            register(
                app,
                name=self._service,
                port=self._port,
                id=self.id,
                address=self._address,
                consul=self._consul,
                token=self._consul_token,
                weight=self._hello.weight,
                meta={
                    "public_url": self._hello.url,
                    "path": self._hello.path,
                    "capacity": str(self._hello.capacity),
                    "sdk": "1",
                },
            )
        if not any(resource.canonical == STATS for resource in app.router.resources()):
            app.router.add_get(STATS, self._tell_stats)
        app.middlewares.append(answer_refused)
        app.cleanup_ctx.append(self._run)
        app.on_shutdown.append(self._close_all)

    @asynccontextmanager
    async def session(self, request: web.Request) -> AsyncIterator[Session]:
        """Admits the client of `request`, and gives its place back at the end of the block.

        Raises `Refused` for a client that was turned away (its socket is closed by then), and
        aiohttp's 403 or 503 before the handshake for a foreign origin or too many waiting sockets.
        """
        socket, entered = await self._door.open(request)
        if isinstance(entered, TurnedAway):
            self.turned_away[entered.reason] += 1
            log.debug("turned_away", handler=self.id, reason=entered.reason.value)
            await socket.part(entered.close_code, entered.reason.value)
            raise Refused(socket, entered.reason)
        claims = entered.claims
        resumed = claims.session_id != claims.jti
        session = Session(claims.uid, claims.session_id, claims.purpose, socket, entered.seq, resumed)
        self._sessions[claims.jti] = session
        self._empty.clear()
        code: int = WSCloseCode.INTERNAL_ERROR
        try:
            self._link.admitted(claims.jti)
            if session.purpose is Purpose.MIGRATE and self._on_migrate_in is not None:
                await self._on_migrate_in(session)
            await socket.send_str(control_frames.welcome(self.id, session.session_id))
            yield session
            code = WSCloseCode.OK
        finally:
            del self._sessions[claims.jti]
            if not self._sessions:
                self._empty.set()
            self._gate.leave(claims.jti)
            self._link.left(claims.jti)
            self._mover.left(session)
            await socket.part(CloseCode.RESTART if self._link.leaving else code)

    # --- life ------------------------------------------------------------------------------------

    def _describe(self, known: tuple[Jti, ...]) -> Hello:
        return replace(self._hello, known=known, connections=self._gate.connections)

    def _unix(self) -> float:
        """The time that tickets are judged by: the gateways', since they have written them."""
        told = self._link.unix
        return self._clock() if told is None else told

    def _heard(self, noted: Noted) -> None:
        """Every answer to a report comes by here."""
        self._mover.heard(noted)
        self._adviser.heard(noted.reconnect)

    async def _tell_stats(self, _request: web.Request) -> web.Response:
        return web.json_response(self.stats(), headers={"Cache-Control": "no-store"})

    async def _run(self, _app: web.Application) -> AsyncIterator[None]:
        tasks = Tasks(_died)
        async with self._client:
            tasks.start(f"reports of {self.id}", self._kept_up("reports", self._link.run))
            tasks.start(f"moves of {self.id}", self._kept_up("moves", self._mover.run))
            tasks.start(f"advice of {self.id}", self._kept_up("advice", self._adviser.run))
            try:
                with tickets_unlogged(), stop_signals(lambda: self._leave_and_stop(tasks)):
                    yield
            finally:
                await tasks.close()
                await self._link.report()

    def _leave_and_stop(self, tasks: Tasks) -> None:
        self._leaving = tasks.start("leave", self.leave())
        self._leaving.add_done_callback(lambda task: None if task.cancelled() else stop())

    async def _kept_up(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs that loop anew when it ends by an error: a bug that one answer has met need not meet the next.

        Without reports meanwhile the gateways send nobody here, and whoever is here is served.
        """
        while True:
            try:
                return await loop()
            except Exception as error:  # noqa: BLE001 what it may be is not known, or it would not be here
                log.error("task_died", task=name, handler=self.id, trace=trace_of(error))
            await asyncio.sleep(AGAIN_S)

    async def _close_all(self, _app: web.Application) -> None:
        """The application shuts down: nothing that clients say comes in any more, so it can't take long.

        After a `leave` nearly all are gone. Without one they are spread over `leave_s`.
        """
        if self._leaving is not None:
            self._leaving.cancel()
        spread_s = 0.0 if self._link.leaving else self._leave_s
        self._link.leaving = True
        await self._link.report()
        going = list(self._sessions.values())
        async with asyncio.TaskGroup() as closing:
            for session in going:
                closing.create_task(session.socket.part(CloseCode.RESTART, "restart", LAST_WAIT_S))
                await asyncio.sleep(spread_s / len(going) * self._rng.uniform(0.5, 1.0))

    def __repr__(self) -> str:
        return f"<HandlerNode {self.id} epoch {self.epoch}: {self._gate!r}, {self._link!r}>"


def _died(name: str, error: BaseException) -> None:
    """Only what ends the process by itself comes by here."""
    log.error("task_died", task=name, trace=trace_of(error))
