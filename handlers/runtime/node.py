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
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler

from handlers import address
from handlers.admission import AdmissionLedger
from handlers.closing import CloseCode, Refusal, TurnedAway
from handlers.model import HandlerId, Hello, Jti, Uid
from handlers.outbox import Outbox
from handlers.runtime.door import Door
from handlers.runtime.gateway_client import GatewayClient
from handlers.runtime.gateway_link import GatewayLink
from handlers.runtime.redaction import tickets_unlogged
from handlers.ticket import Purpose
from registry.runtime.clock import unix_now
from registry.runtime.registration import register
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """One admitted client. `session_id` stays the same when it moves to another handler."""

    uid: Uid
    session_id: str
    purpose: Purpose
    socket: web.WebSocketResponse


class Refused(Exception):
    """Ends an endpoint whose client was turned away. `HandlerNode.attach` installs what answers it."""

    def __init__(self, socket: web.WebSocketResponse, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.socket = socket
        self.reason = reason


class HandlerNode:
    """One handler process.

    `gateways` are URLs, any of which may be told. `consul` `None` leaves the registry alone.
    `origins` are the pages that may open sockets here; `None` means any, which is right only where
    tickets are not kept in cookies (they are not, by default). Raises `ValueError` for arguments
    that can't be right.
    """

    def __init__(
        self,
        *,
        handler_id: str,
        gateways: Sequence[str],
        public_url: str,
        capacity: int,
        internal_key: str | None = None,
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
        leave_s: float = 5.0,
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
        self._leave_s = leave_s
        self._rng = rng or random.SystemRandom()
        self._gate = AdmissionLedger(capacity)
        self._sessions: dict[Jti, Session] = {}
        self.turned_away: Counter[Refusal] = Counter()
        """How many clients did not get in, by reason."""
        self._client = GatewayClient(gateways, internal_key=internal_key)
        self._link = GatewayLink(self._client, self._describe, Outbox(self.id, self.epoch), rng=self._rng)
        self._door = Door(
            self._gate,
            self._link,
            origins=origins,
            heartbeat_s=heartbeat_s,
            max_msg_size=max_msg_size,
            ticket_within_s=ticket_within_s,
            clock=clock,
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

    def attach(self, app: web.Application) -> None:
        """Makes the app register, report, and say goodbye to its clients when it stops."""
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
        app.middlewares.append(_answer_refused)
        app.cleanup_ctx.append(self._run)
        app.on_shutdown.append(self._leave)

    @asynccontextmanager
    async def session(self, request: web.Request) -> AsyncIterator[Session]:
        """Admits the client of `request`, and gives its place back at the end of the block.

        Raises `Refused` for a client that was turned away (its socket is closed by then), and
        aiohttp's 403 or 503 before the handshake for a foreign origin or too many waiting sockets.
        """
        socket, claims = await self._door.open(request)
        if isinstance(claims, TurnedAway):
            self.turned_away[claims.reason] += 1
            log.debug("turned_away", handler=self.id, reason=claims.reason.value)
            await socket.close(code=claims.close_code, message=claims.reason.value.encode())
            raise Refused(socket, claims.reason)
        session = Session(claims.uid, claims.session_id, claims.purpose, socket)
        self._sessions[claims.jti] = session
        code: int = WSCloseCode.INTERNAL_ERROR
        try:
            self._link.admitted(claims.jti)
            await socket.send_json(
                {"type": "welcome", "handler_id": self.id, "session_id": session.session_id}
            )
            yield session
            code = WSCloseCode.OK
        finally:
            del self._sessions[claims.jti]
            self._gate.leave(claims.jti)
            self._link.left(claims.jti)
            await socket.close(code=CloseCode.RESTART if self._link.leaving else code)

    # --- life ------------------------------------------------------------------------------------

    def _describe(self, known: tuple[Jti, ...]) -> Hello:
        hello = self._hello
        return Hello(
            hello.id,
            hello.epoch,
            hello.url,
            hello.path,
            hello.capacity,
            hello.weight,
            known,
            self._gate.connections,
        )

    async def _run(self, _app: web.Application) -> AsyncIterator[None]:
        tasks = Tasks(self._died)
        async with self._client:
            tasks.start(f"reports of {self.id}", self._link.run())
            try:
                with tickets_unlogged():
                    yield
            finally:
                await tasks.close()
                if not self._link.superseded:
                    await self._link.report()

    def _died(self, name: str, error: BaseException) -> None:
        """Without reports the gateway takes us for dead, so we must not look ready either."""
        log.error("task_died", task=name, trace=trace_of(error))
        self._link.leaving = True

    async def _leave(self, _app: web.Application) -> None:
        """Nobody new from now on; those who are here are asked to leave, spread over `leave_s`.

        All at once they would come back all at once, to the handlers that are left.
        """
        self._link.leaving = True
        if not self._link.superseded:
            await self._link.report()
        going = list(self._sessions.values())
        async with asyncio.TaskGroup() as closing:
            for session in going:
                closing.create_task(session.socket.close(code=CloseCode.RESTART, message=b"restart"))
                await asyncio.sleep(self._leave_s / len(going) * self._rng.uniform(0.5, 1.0))

    def __repr__(self) -> str:
        return f"<HandlerNode {self.id} epoch {self.epoch}: {self._gate!r}, {self._link!r}>"


@web.middleware
async def _answer_refused(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The socket of a refused client is closed already, so there is nothing left to answer."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.socket
