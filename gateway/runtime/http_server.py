"""aiohttp's low-level server with a request loop of our own.

Everything that is private in aiohttp is touched in this file; test_http_server.py tells when a new
aiohttp changes it. Kept are its parser in C, its body streams with their flow control, its bounded queue
of pipelined requests and its book of connections. Left out is what it does for every request: a task,
its request and answer objects, its timers and its own error pages.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.request_head import RequestHead
from gateway.runtime.client_request import CLIENT_STALLED_S, ClientRequest
from gateway.runtime.parse_faults import MAX_FIELD, MAX_LINE, HeadTooLong, reason_of
from gateway.settings import ListenSettings
from gateway.target import framing_is_clear

log = structlog.get_logger()

LINGERING_S = 2.0
"""How long the rest of a body nobody wants is read before the connection is closed: closing at once would
reset it, and the client would lose its answer."""

RELEASE_S = 1.0
"""How long a request that was cancelled at the end may take to give back what it holds."""

SWEEP_S = 1.0
"""All connections are looked at that often, instead of a timer for each."""

SWITCHES = "websocket"
"""The only protocol for which aiohttp's parser lets go of a connection."""

BODY_END = b"\r\n0\r\n\r\n"
"""The end of a chunked body without trailers: no trailer is a line without a colon."""

READ_BUFFER = 1 << 16
"""Bytes of a body held per request, twice over, while nobody reads them."""

Handler = Callable[[ClientRequest], Awaitable[None]]
"""Answers a request. May raise `ConnectionError` when its client has gone."""

Refuse = Callable[[str], bytes]
"""A reason of gateway.errors -> a whole answer that says `Connection: close`, to what is no request."""


def parser_problem() -> str | None:
    """Why no request may be read here: aiohttp's parser in Python reads some malformed ones otherwise
    (CVE-2023-47641)."""
    if HttpRequestParser is HttpRequestParserPy:
        return "aiohttp was installed without its parser in C: install a wheel of it, or a C compiler"
    return None


class _Connection(RequestHandler):
    """One client connection, and the task that answers its requests one after the other."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_last_bytes",
        "_late_at",
        "_listen",
        "_server",
        "_tunnel",
        "body_idle_s",
        "ending",
        "head_begun",
        "peer",
        "remembered",
    )

    def __init__(self, server: "HttpServer", loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._listen = server.listen
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=0,
            access_log=None,  # type: ignore[arg-type]  # its own callers pass None too
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=server.listen.max_headers,
        )
        self._body: StreamReader = EMPTY_PAYLOAD
        self._tunnel = False
        self._late_at = math.inf
        """When whoever is waited for has lost this connection; infinite while a request is answered."""
        self.head_begun = False
        """Whether a part of a head has come, and not all of it."""
        self._head_bytes = 0
        self._last_bytes = b""
        self.body_idle_s = server.listen.body_idle_s
        self.ending = False
        self.peer = "unix"
        self.remembered: RequestHead | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._server.is_full:
            # aiohttp has not heard of this connection, and need not hear of its end.
            self._manager, self._force_close = None, True
            # uvloop's transports are no subclasses.
            cast(asyncio.Transport, transport).write(self._server.refuse("overloaded"))
            transport.close()
            return
        peername = transport.get_extra_info("peername")
        if isinstance(peername, tuple):
            self.peer = peername[0]
        self._late_at = self._server.clock() + self._listen.header_s
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._last_bytes = (data if len(data) >= len(BODY_END) else self._last_bytes + data)[-len(BODY_END) :]
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._fail_unfinished_bodies()
        elif self._waiter is not None:
            self._count_head(data, self._waiter)

    def _fail_unfinished_bodies(self) -> None:
        """Bytes inside a body were none of a body. The parser gives that body up without telling it."""
        for body in (self._body, *(body for _, body in self._messages)):
            if not body.is_eof() and body.exception() is None:
                body.set_exception(web.RequestPayloadError("malformed"))

    def _count_head(self, data: bytes, waiter: "asyncio.Future[None]") -> None:
        """Bytes came while a request was waited for: its head, but for empty lines before it."""
        self._head_bytes += len(data)
        if waiter.done():
            return
        if not self.head_begun and data.strip(b"\r\n"):
            self.head_begun = True
            self._late_at = self._server.clock() + self._listen.header_s
        if self._head_bytes > self._listen.max_header_bytes:
            self._messages.append((_ErrInfo(431, HeadTooLong(), ""), EMPTY_PAYLOAD))
            waiter.set_result(None)

    async def start(self) -> None:
        """Answers requests until the connection ends. Cancelled when the client goes, and at the very end."""
        try:
            while await self._answer_next():
                pass
        except ConnectionError:
            pass
        finally:
            self._late_at = self._server.clock() + CLIENT_STALLED_S
            if self.transport is not None:
                self.transport.close()

    async def _answer_next(self) -> bool:
        """Waits for a request and has it answered. Whether another may follow."""
        message, body = await self._next_message()
        if isinstance(message, _ErrInfo):
            return await self._end_with(reason_of(message.exc))
        if (fault := self._fault_of(message)) is not None:
            return await self._end_with(reason_of(fault))
        self._body = body
        request = ClientRequest(
            self,
            message.method,
            message.path,
            message.version,
            message.headers,
            message.raw_headers,
            body,
            keep_alive=not message.should_close,
            chunked=message.chunked,
            upgrade=message.upgrade,
        )
        if message.upgrade and request.wants_upgrade != SWITCHES:
            # The parser loses what follows a switch to anything else.
            request.keep_alive = False
        if body.is_eof() and not self._is_at_boundary(request):
            request.keep_alive = False
        try:
            await self._server.handler(request)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("handler_failed")
        finally:
            if request.unfinished:
                request.cut_off()
        if self._tunnel or not request.connected:
            return False
        if not request.head_sent:
            return await self._end_with("internal_error")
        return await self._is_good_for_another(request)

    async def _next_message(self) -> "tuple[RawRequestMessage | _ErrInfo, StreamReader]":
        if not self._messages:
            self.head_begun, self._head_bytes = False, 0
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._late_at = math.inf
        next_one = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return next_one

    def _fault_of(self, message: RawRequestMessage) -> HttpProcessingError | None:
        """What is wrong with a head that aiohttp's parser lets pass."""
        coding = message.headers.get("Transfer-Encoding")
        if coding is not None and not framing_is_clear(message.version, coding):
            return BadHttpMessage("Transfer-Encoding")
        limit = self._listen.max_header_bytes
        if self._head_bytes > limit and sum(len(n) + len(v) + 4 for n, v in message.raw_headers) > limit:
            return HeadTooLong()
        return None

    async def _is_good_for_another(self, request: ClientRequest) -> bool:
        """Clears what is left of an answered request."""
        if not request.body.is_eof() and not await _read_to_end(request.body):
            return False
        if self.ending or not request.keep_alive or not self._is_at_boundary(request):
            return False
        self._body = EMPTY_PAYLOAD
        if self._upgraded and not self._messages:
            self._decline_upgrade()
        if self._paused:
            # Answers to pipelined requests would pile up for a client that does not read them.
            self._late_at = self._server.clock() + CLIENT_STALLED_S
            await self._drain_helper()
        self._late_at = self._server.clock() + self._listen.keepalive_s
        return True

    def _is_at_boundary(self, request: ClientRequest) -> bool:
        """Whether the parser would read the next request by itself.

        It makes the last trailer of a body the first header of the next request, and does not say whether
        there was one. So a chunked body must have had its plain end, as the last bytes that came.
        """
        return not request.chunked or (not self._messages and self._last_bytes == BODY_END)

    def _decline_upgrade(self) -> None:
        """What followed a request for another protocol is HTTP after all."""
        assert self._parser is not None
        self._parser.set_upgraded(False)
        self._upgraded = False
        rest, self._message_tail = self._message_tail, b""
        self.data_received(rest)
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    async def _end_with(self, reason: str) -> bool:
        """Says why this connection ends, and closes it once that can have arrived."""
        if self.transport is None:
            return False
        self._close = True  # aiohttp drops what still comes
        self.transport.write(self._server.refuse(reason))
        self.transport.write_eof()
        await asyncio.sleep(LINGERING_S)
        return False

    def end_if_late(self, now: float) -> None:
        """Ends the connection if whoever is at its other end has kept it waiting for too long."""
        transport = self.transport
        if now < self._late_at or transport is None:
            return
        self._late_at = math.inf
        if transport.get_write_buffer_size():
            transport.abort()
            return
        if self.head_begun and self._waiter is not None:
            transport.write(self._server.refuse("request_timeout"))
        transport.close()

    def close(self) -> None:
        """Takes no further request: an idle connection ends now, another after its answer."""
        self.ending = True
        if self._waiter is not None:
            self._waiter.cancel()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Lets the request under way finish for at most `timeout` seconds, then cancels it."""
        self.close()
        task = self._task_handler
        try:
            if task is not None and not task.done():
                await asyncio.wait([task], timeout=timeout)
                task.cancel()
                await asyncio.wait([task], timeout=RELEASE_S)
        finally:
            self.force_close()

    async def drained(self) -> None:
        await self._drain_helper()

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        if not self._upgraded or self._messages or self._tunnel:
            raise RuntimeError("only a request that asks for a WebSocket gives its connection away")
        self._tunnel = True
        transport.set_protocol(_Tunnel(self, protocol))
        if self._buffer_paused:
            transport.resume_reading()
        rest, self._message_tail = self._message_tail, b""
        return transport, rest


class _Tunnel(asyncio.Protocol):
    """What a transport calls after `take_over`: the new protocol, and at the end the old one too."""

    def __init__(self, connection: _Connection, protocol: asyncio.Protocol) -> None:
        self._connection = connection
        self._protocol = protocol
        # Bound here, so that a tunnel's bytes don't come this way.
        self.data_received = protocol.data_received  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._connection.connection_lost(exc)


class HttpServer(web.Server):
    """A server factory for listening sockets, and its book of connections."""

    def __init__(
        self,
        handler: Handler,
        refuse: Refuse,
        listen: ListenSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # A client that hangs up cancels its handler, which releases its lease upstream at once.
        super().__init__(_not_called, handler_cancellation=True)
        self.handler = handler
        self.refuse = refuse
        self.listen = listen
        self.clock = clock
        self._timer = self._loop.call_later(SWEEP_S, self._tick)

    @property
    def is_full(self) -> bool:
        return len(self._connections) >= self.listen.max_connections

    def __call__(self) -> RequestHandler:
        return _Connection(self, self._loop)

    def sweep(self, now: float) -> None:
        """Ends the connections whose clients are late at `now`, by `clock`."""
        for connection in self.connections:
            if isinstance(connection, _Connection):
                connection.end_if_late(now)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._tick)
        self.sweep(self.clock())

    async def shutdown(self, timeout: float | None = None) -> None:
        try:
            await super().shutdown(timeout)
        finally:
            self._timer.cancel()


async def _not_called(_: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("aiohttp's own request loop is not in use")


async def _read_to_end(body: StreamReader) -> bool:
    """Reads what nobody wanted, and forgets it; False when it does not end soon."""
    try:
        async with asyncio.timeout(LINGERING_S):
            while not body.is_eof():
                await body.readany()
    except (TimeoutError, web.RequestPayloadError):
        return False
    return True
