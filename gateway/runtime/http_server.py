"""aiohttp's low-level server with a request loop of our own.

Everything that is private in aiohttp is touched in this file; test_http_server.py tells when a new
aiohttp changes it. Kept are its parser in C, its body streams with their flow control and its book of
connections. Left out is what it does for every request: a task, a queue, its request and answer objects,
its timers and its own error pages.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import structlog
from aiohttp import StreamReader, web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from gateway.overload import plain_get
from gateway.request_head import RequestHead
from gateway.runtime.client_request import CLIENT_STALLED_S, ClientRequest, Repeat
from gateway.runtime.overload import Door
from gateway.runtime.parse_faults import MAX_FIELD, MAX_LINE, reason_of
from gateway.runtime.preamble import Preamble
from gateway.runtime.request_reader import Read, RequestReader
from gateway.settings import ListenSettings

log = structlog.get_logger()

LINGERING_S = 2.0
"""How long the rest of a body nobody wants is read before the connection is closed: closing at once would
reset it, and the client would lose its answer."""

RELEASE_S = 1.0
"""How long a request that was cancelled at the end may take to give back what it holds."""

SWEEP_S = 1.0
"""All connections are looked at that often, instead of a timer for each."""

READ_BUFFER = 1 << 16
"""Bytes held of a body, twice over, while nobody reads it; and of what came behind that request."""

Handler = Callable[[ClientRequest], Awaitable[None]]
"""Answers a request. May raise `ConnectionError` when its client has gone."""

ALWAYS_LET_IN = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Whoever watches the gateway must see it best when there is too much to do. Endpoints come before routes, so
none of these is an instance's."""
LET_IN_AT_SIGHT = frozenset(path.encode() for path in ALWAYS_LET_IN)

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
        "_closes",
        "_coming",
        "_header_s",
        "_keepalive_s",
        "_late_at",
        "_reader",
        "_refused",
        "_server",
        "_tunnel",
        "body_idle_s",
        "head_begun",
        "peer",
        "remembered",
        "repeat",
    )

    def __init__(self, server: "HttpServer", loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._header_s, self._keepalive_s = server.listen.header_s, server.listen.keepalive_s
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
        assert self._parser is not None
        self._reader = RequestReader(self._parser, server.listen.max_header_bytes)
        self._coming: asyncio.Future[Read] | None = None
        """The next request, while it is waited for."""
        self._late_at = math.inf
        """When whoever is waited for has lost this connection; infinite while a request is answered."""
        self.head_begun = False
        """Whether a part of the head that is waited for has come."""
        self._closes = False
        self._tunnel = False
        self._refused = False
        """The request that was read last came when there was no room for it."""
        self.body_idle_s = server.listen.body_idle_s
        self.peer = "unix"
        self.remembered: RequestHead | None = None
        self.repeat: Repeat | None = None

    def is_ending(self) -> bool:
        return self._closes or self._server.draining or not self._reader.in_step

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
        self._late_at = self._server.clock() + self._header_s
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._reader.close()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client. None at all means that there is room again for a body's."""
        if self._close or self._force_close:
            return
        if self.repeat is not None and self._answers_again(data, self.repeat):
            return
        room = self._server.door.has_room()
        if not room and self._refuses_at_sight(data):
            return
        read, coming = self._reader.feed(data), self._coming
        if coming is None:
            if self._reader.holds >= READ_BUFFER and not self._buffer_paused:
                self._pause_reading_for_buffer()
        elif read is None:
            self._note_head()
        elif coming.done():
            return
        elif room:
            self._hand_on(coming, read)
        else:
            self._find_room(coming, read)

    def _answers_again(self, data: bytes, repeat: Repeat) -> bool:
        """Whether this was the last request again, and has got its answer again, with nothing looked at."""
        if data != repeat.request or self._coming is None or self.head_begun:
            return False
        now = self._server.clock()
        if now >= repeat.until or self.is_ending() or self._paused:
            self.repeat = None
            return False
        assert self.transport is not None
        self.transport.write(repeat.again())
        self._late_at = now + self._keepalive_s
        return True

    def _refuses_at_sight(self, data: bytes) -> bool:
        """Whether this was a request, and refused, before anything was parsed."""
        if self._coming is None or self.head_begun or self.is_ending() or self._paused:
            return False
        target = plain_get(data)
        if target is None or target in LET_IN_AT_SIGHT:
            return False
        assert self.transport is not None
        server = self._server
        server.door.turned_away()
        self.transport.write(server.turned_away())
        self._late_at = server.clock() + self._keepalive_s
        return True

    def _find_room(self, coming: "asyncio.Future[Read]", read: Read) -> None:
        """Hands on what was waited for. What there is no room for is answered here, which costs the least."""
        while self._has_no_room(read) and isinstance(read, tuple):
            request = self._request(*read)
            if request.body_exists or not request.keep_alive or self._paused:
                # What is to be done with its body and its connection is the task's. And it can wait, for a
                # client that takes none of its answers.
                self._refused = True
                self._coming = None
                coming.set_result(read)
                return
            self._turn_away(request)
            following = self._reader.next()
            if following is None:
                self.head_begun, self._late_at = False, self._server.clock() + self._keepalive_s
                self._note_head()
                return
            read = following
        self._hand_on(coming, read)

    def _hand_on(self, coming: "asyncio.Future[Read]", read: Read) -> None:
        self._coming = None
        if not isinstance(read, tuple) or read[0].path in ALWAYS_LET_IN:
            coming.set_result(read)
        else:
            self._late_at = math.inf
            self._server.door.let_in(coming, read)

    def _turn_away(self, request: ClientRequest) -> None:
        self._server.door.turned_away()
        self._server.turn_away(request)

    def _has_no_room(self, read: Read) -> bool:
        """Whether this is a request that the gateway can't take on."""
        return (
            isinstance(read, tuple) and read[0].path not in ALWAYS_LET_IN and not self._server.door.has_room()
        )

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp's bodies ask for it with every piece that is read.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    async def start(self) -> None:
        """Answers requests until the connection ends. Cancelled when the client goes, and at the very end."""
        try:
            while True:
                read = self._reader.next()
                if read is not None:
                    self._refused = self._has_no_room(read)
                if self._buffer_paused and self._reader.holds < READ_BUFFER:
                    self._resume_reading_for_buffer()
                if read is None:
                    read = await self._to_come()
                self._late_at = math.inf
                if not isinstance(read, tuple):
                    await self._end_with(reason_of(read))
                    return
                request = self._request(*read)
                if self._refused:
                    self._turn_away(request)
                else:
                    self._server.door.in_flight += 1
                    try:
                        await self._server.handler(request)
                    except ConnectionError:
                        raise
                    except Exception:
                        log.exception("handler_failed")
                    finally:
                        self._answered(request)
                if self._tunnel or self.transport is None or self.transport.is_closing():
                    return
                if not request.status:
                    await self._end_with("internal_error")
                    return
                if not request.body.is_eof() and not await _read_to_end(request.body):
                    return
                if not request.keep_alive or self.is_ending():
                    return
                if self._paused:
                    await self._until_taken()
                self._late_at = self._server.clock() + self._keepalive_s
        except ConnectionError:
            pass
        finally:
            self._late_at = self._server.clock() + CLIENT_STALLED_S
            if self.transport is not None:
                self.transport.close()

    def _answered(self, request: ClientRequest) -> None:
        if not self._tunnel:
            self._server.door.in_flight -= 1
        if request.unfinished:
            request.cut_off()

    def _to_come(self) -> "asyncio.Future[Read]":
        """The next request, whose head is not all there."""
        self._refused = self.head_begun = False
        self._note_head()
        self._coming = self._loop.create_future()
        return self._coming

    def _note_head(self) -> None:
        """From its first byte, a head has so long to come."""
        if self._reader.head_begun and not self.head_begun:
            self.head_begun = True
            self._late_at = self._server.clock() + self._header_s

    def _request(self, message: RawRequestMessage, body: StreamReader) -> ClientRequest:
        return ClientRequest(
            self,
            message.method,
            message.path,
            message.version,
            message.headers,
            message.raw_headers,
            body,
            not message.should_close,
            message.upgrade,
        )

    async def _until_taken(self) -> None:
        """Answers to pipelined requests would pile up for a client that does not read them."""
        self._late_at = self._server.clock() + CLIENT_STALLED_S
        await self._drain_helper()

    async def _end_with(self, reason: str) -> None:
        """Says why this connection ends, and closes it once that can have arrived."""
        if self.transport is None:
            return
        self._close = True  # what still comes is dropped
        self.transport.write(self._server.refuse(reason))
        self.transport.write_eof()
        await asyncio.sleep(LINGERING_S)

    def end_if_late(self, now: float) -> None:
        """Ends the connection if whoever is at its other end has kept it waiting for too long."""
        if self.repeat is not None and now >= self.repeat.until:
            self.repeat = None
        transport = self.transport
        if now < self._late_at or transport is None:
            return
        self._late_at = math.inf
        if transport.get_write_buffer_size():
            transport.abort()
            return
        if self.head_begun and self._coming is not None:
            transport.write(self._server.refuse("request_timeout"))
        transport.close()

    def close(self) -> None:
        """Takes no further request: an idle connection ends now, another after its answer."""
        self._closes = True
        if self._coming is not None:
            self._coming.cancel()

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
        if not self._reader.switches or self._tunnel:
            raise RuntimeError("only a request that asks for a WebSocket gives its connection away")
        self._tunnel = True
        self._server.door.in_flight -= 1
        transport.set_protocol(_Tunnel(self, protocol))
        if self._buffer_paused:
            transport.resume_reading()
        return transport, self._reader.take_held()


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
        turn_away: Callable[[ClientRequest], None],
        turned_away: Callable[[], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # A client that hangs up cancels its handler, which releases its lease upstream at once.
        super().__init__(_not_called, handler_cancellation=True)
        self.handler = handler
        self.refuse = refuse
        self.turn_away = turn_away
        """Answers a request that there is no room for, in one write."""
        self.turned_away = turned_away
        """The same as bytes, to a GET whose connection stays."""
        self.listen = listen
        self.clock = clock
        self.draining = False
        """Every answer says that its connection ends with it."""
        self.door: Door[Read] = Door(listen, self._loop, clock)
        self.preambles: set[Preamble] = set()
        """Connections of proxies that have not said yet whose they are."""
        self._timer = self._loop.call_later(SWEEP_S, self._tick)

    @property
    def is_full(self) -> bool:
        return len(self._connections) + len(self.preambles) >= self.listen.max_connections

    def follow(self, listen: ListenSettings) -> None:
        """Takes new settings: new connections go by them. What was read from headers is read anew."""
        self.listen = listen
        self.door.follow(listen)
        for connection in self.connections:
            if isinstance(connection, _Connection):
                connection.remembered = connection.repeat = None

    def __call__(self) -> RequestHandler:
        listen = self.listen
        if not listen.proxy_protocol or self.is_full:
            return _Connection(self, self._loop)
        begin = partial(_Connection, self, self._loop)
        before = Preamble(begin, listen.trusted_proxies, self.preambles, listen.header_s)
        return cast(RequestHandler, before)

    def sweep(self, now: float) -> None:
        """Ends the connections whose clients are late at `now`, by `clock`."""
        for connection in self.connections:
            if isinstance(connection, _Connection):
                connection.end_if_late(now)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._tick)
        self.sweep(self.clock())

    async def shutdown(self, timeout: float | None = None) -> None:
        for preamble in list(self.preambles):
            preamble.close()
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
