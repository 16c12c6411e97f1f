"""A chat client in Python, for tests, bots and load: what `clients/js` is for browsers.

    async with client_session() as session:
        async with HandlerClient("http://127.0.0.1:8000", uid="ada", token=token, session=session) as ada:
            await ada.connected()
            await ada.send({"type": "hello"})
            async for message in ada:
                ...

It finds a handler, comes back when the connection is lost, and moves when it is told to. It costs a
task and a socket, so thousands fit into a process.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import structlog
from aiohttp import ClientError, ClientSession

from handlers.client import Answer, ClientLedger, Connect, Renew, State, Status, Stop, Wait
from handlers.client_messages import CONNECT_S, Destination, Move, read_move
from handlers.runtime.client_wire import ASK_S, Link, Message, ask, client_session, connect
from handlers.runtime.inbox import Inbox
from registry.runtime.clock import unix_now
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

__all__ = ["HandlerClient", "Message", "State", "Status", "Token", "client_session"]

log = structlog.get_logger()

Token = str | Callable[[], Awaitable[str]]
"""A function is asked each time the gateway is, and once more when the token it gave is refused."""


class HandlerClient:
    """Async context manager, and iterator of messages; the iteration ends when the client is closed for good.

    `session` (of `client_session`) is shared and stays open. `on_status` is called on every change and
    must not block. `session_id` and `seq` resume an earlier session. `queue` bounds the messages that
    wait to be read; when it is full, nothing more is read from the socket.

    `welcome`, `advice` and `migrate` frames are not passed on. A message with an integer `seq` is passed
    on once, however often it is sent after a move or a loss.
    """

    def __init__(
        self,
        gateway: str,
        *,
        uid: str,
        token: Token,
        session: ClientSession,
        pool: str | None = None,
        session_id: str | None = None,
        seq: int | None = None,
        queue: int = 256,
        on_status: Callable[[Status], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.uid = uid
        self._url = f"{gateway.rstrip('/')}/get_websocket_handler"
        self._query = {} if pool is None else {"pool": pool}
        self._token = token
        self._session = session
        self._on_status = on_status
        self._ledger = ClientLedger(rng or random.SystemRandom(), session_id=session_id, seq=seq)
        self._tasks = Tasks(self._died)
        self._inbox: Inbox[Message] = Inbox(queue)
        self._at: Link | None = None
        self._moving: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self.status = Status(State.ASKING)
        self.moves = 0
        """How often another handler took over without a gap."""
        self.losses = 0
        """How often a connection ended with no other one in its place."""
        self.sockets = 0
        """Welcomed connections that are open now: one, or two in the middle of a move."""

    # --- for its user ----------------------------------------------------------------------------

    @property
    def handler(self) -> str | None:
        """The handler we are connected to now."""
        return None if self._at is None else self._at.to.handler

    @property
    def session_id(self) -> str | None:
        return self._ledger.session_id

    @property
    def seq(self) -> int | None:
        """The highest number among the messages passed on so far."""
        return self._ledger.seq

    async def connected(self, timeout_s: float = 30.0) -> None:
        """Returns once a handler has welcomed us. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            await self._connected.wait()

    async def send(self, message: Message) -> bool:
        """False when there is no connection: nothing is queued, so nothing is sent late by surprise."""
        return self._at is not None and await self._at.send(message)

    def __aiter__(self) -> "HandlerClient":
        return self

    async def __anext__(self) -> Message:
        return await self._inbox.get()

    async def __aenter__(self) -> "HandlerClient":
        self._tasks.start(f"client {self.uid}", self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leaves the handler properly. What was not read yet can still be read."""
        await self._tasks.close()
        if self.status.state is not State.CLOSED:
            self._tell(Status(State.CLOSED, why="closed here"))
        self._inbox.end()

    # --- its life --------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not isinstance(step := await self._once(), Stop):
            self._tell(Status(State.WAITING, why=step.why, wait_s=step.seconds))
            await asyncio.sleep(step.seconds)
        self._tell(Status(State.CLOSED, why=step.why))
        self._inbox.end()

    async def _once(self) -> Wait | Stop:
        """From asking for a handler to the end of the connection to it, or to the last it moved to."""
        self._tell(Status(State.ASKING))
        step = await self._ask()
        if not isinstance(step, Connect):
            return step
        self._tell(Status(State.CONNECTING, step.to.handler))
        opened = await connect(self._session, step.to, self._ledger.seq, CONNECT_S)
        if isinstance(opened, int):
            return self._ledger.ended(step.to, opened, time.monotonic())
        self._arrive(opened)
        try:
            last, code = await self._live(opened)
        finally:
            self._connected.clear()
            at, self._at = self._at, None
            if at is not None:
                await at.close()
        self.losses += 1
        return self._ledger.ended(last, code, time.monotonic())

    async def _ask(self) -> Connect | Wait | Stop:
        renewable = not isinstance(self._token, str)
        step = await self._ask_with_token(renewed=not renewable)
        if isinstance(step, Renew):
            step = await self._ask_with_token(renewed=True)
        assert not isinstance(step, Renew)
        return step

    async def _ask_with_token(self, *, renewed: bool) -> Connect | Wait | Renew | Stop:
        try:
            async with asyncio.timeout(ASK_S):
                token = self._token if isinstance(self._token, str) else await self._token()
        except (ClientError, TimeoutError, OSError):
            answer = Answer(0)
        else:
            headers = {"token": token, "uid": self.uid, **self._ledger.headers(time.monotonic())}
            answer = await ask(self._session, self._url, self._query, headers)
        return self._ledger.answered(answer, unix_now(), renewed=renewed)

    def _arrive(self, link: Link, moved_from: str | None = None) -> None:
        self._at = link
        self.sockets += 1
        self._ledger.welcomed(link.to, time.monotonic())
        self._connected.set()
        self._tell(Status(State.CONNECTED, link.to.handler, moved_from=moved_from))

    async def _live(self, link: Link) -> tuple[Destination, int]:
        """Reads until there is nothing more to read; goes along when the connection moves."""
        while True:
            try:
                code = await self._read(link)
            finally:
                self.sockets -= 1
            if self._at is link and self._moving is not None:
                # Lost in the middle of a move, which may still succeed and takes seconds at most.
                await asyncio.wait([self._moving])
            if self._at is link or self._at is None:
                return link.to, code
            link = self._at

    async def _read(self, link: Link) -> int:
        """Passes on what comes; returns the close code."""
        while not isinstance(received := await link.receive(), int):
            message, frame = received
            match frame.get("type"):
                case "migrate":
                    self._consider(frame, link)
                case "advice":
                    self._ledger.advised(frame.get("reconnect"))
                case "welcome":
                    pass
                case _ if self._ledger.is_news(frame.get("seq")):
                    await self._inbox.put(message)
                    self._ledger.passed_on(frame.get("seq"))
        return received

    def _consider(self, frame: dict[str, Any], link: Link) -> None:
        """Follows one move at a time, and none of a connection that is left already."""
        move = read_move(frame, link.to)
        if move is not None and self._moving is None and self._at is link:
            self._moving = self._tasks.start(f"move of {self.uid}", self._move(move, link))

    async def _move(self, move: Move, old: Link) -> None:
        """Make before break: the old connection serves until the new one has welcomed us."""
        try:
            self._tell(Status(State.MOVING, old.to.handler))
            opened = await connect(self._session, move.to, self._ledger.seq, move.within_s)
            if isinstance(opened, int):
                self._ledger.move_failed(move.to, opened, time.monotonic())
                if not old.socket.closed:
                    self._tell(Status(State.CONNECTED, old.to.handler, why="the move failed"))
                return
            self.moves += 1
            self._arrive(opened, moved_from=old.to.handler)
        finally:
            self._moving = None
        await old.close()

    def _tell(self, status: Status) -> None:
        self.status = status
        if self._on_status is not None:
            self._on_status(status)

    def _died(self, name: str, error: BaseException) -> None:
        log.error("task_died", task=name, trace=trace_of(error))
        self._tell(Status(State.CLOSED, why="a bug in the client; see the log"))
        self._inbox.end()

    def __repr__(self) -> str:
        return f"<HandlerClient {self.uid}: {self.status.state.value} {self.handler or ''}>"
