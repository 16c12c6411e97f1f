"""One request of a client, and the way its answer goes back.

Rules of this file: an answer that is all there goes out in one write; a longer one waits for its client
after every piece. What was cut short never looks complete. The connection behind it is http_server.py's.
"""

import asyncio
import socket
import struct
from typing import Protocol

from aiohttp import EMPTY_PAYLOAD, StreamReader, hdrs
from multidict import CIMultiDictProxy

from gateway.answer_head import (
    BODILESS,
    CONTINUE,
    HTTP_1_1,
    LAST_CHUNK,
    Framing,
    Pairs,
    RawPairs,
    answer_head,
    chunk,
    whole_answer,
)
from gateway.request_head import RequestHead
from registry.runtime.clock import unix_now

CLIENT_STALLED_S = 60.0
"""A client that takes nothing of its answer for so long loses it: it keeps an instance busy."""

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""`struct linger`: on, zero seconds."""


class Repeat(Protocol):
    """The answer to a request that comes again, byte for byte, before `until`."""

    request: bytes
    until: float
    """Monotonic seconds."""

    def again(self) -> bytes:
        """The answer; it is counted as one."""
        ...


class ClientConnection(Protocol):
    """What a request needs of its connection."""

    transport: asyncio.Transport | None
    """`None` once the client has gone."""
    peer: str
    """The address at the other end of the socket; `unix` where there is none."""
    body_idle_s: float
    remembered: RequestHead | None
    """What was read from the headers of an earlier request."""
    repeat: "Repeat | None"
    """What the last request gets again if it comes again."""

    @property
    def writing_paused(self) -> bool: ...
    def is_ending(self) -> bool:
        """No further request is taken from here."""
        ...

    async def drained(self) -> None:
        """Returns when the client has taken most of what was written, or has gone."""
        ...

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]: ...


class ClientRequest:
    """A request's head as the parser read it, its body as a stream, and its answer's way out."""

    __slots__ = (
        "_connection",
        "_framing",
        "_left",
        "_told_to_go_on",
        "_upgrade",
        "body",
        "body_exists",
        "bytes_in",
        "bytes_out",
        "headers",
        "keep_alive",
        "method",
        "peer",
        "raw_headers",
        "remembered",
        "status",
        "target",
        "unfinished",
        "version",
    )

    def __init__(
        self,
        connection: ClientConnection,
        method: str,
        target: str,
        version: tuple[int, int],
        headers: "CIMultiDictProxy[str]",
        raw_headers: tuple[tuple[bytes, bytes], ...],
        body: StreamReader,
        keep_alive: bool = True,
        upgrade: bool = False,
    ) -> None:
        self._connection = connection
        self.peer = connection.peer
        self.remembered = connection.remembered
        """What this client's last request said by its headers."""
        self.method = method
        self.target = target
        """The second word of the request line, as it came."""
        self.version = version
        self.headers = headers
        self.raw_headers = raw_headers
        """The same as bytes, order, case and repeats kept."""
        self.body = body
        self.body_exists = body is not EMPTY_PAYLOAD
        self.keep_alive = keep_alive
        """Whether another request may follow. Whoever answers may set it to False, never to True."""
        self.status = 0
        """Of the answer whose head has been sent; 0 before. A 100 does not count."""
        self.unfinished = False
        """Whether an answer has begun and not ended."""
        self.bytes_in = 0
        """Of the request's body, as far as it has been read; of a tunnel, what the client has said."""
        self.bytes_out = 0
        """Of the answer's body, as far as it has been written; of a tunnel, what the instance has said."""
        self._upgrade = upgrade
        self._told_to_go_on = False
        self._framing = Framing.NONE
        self._left = 0

    def remember(self, head: RequestHead) -> None:
        """For this client's next request: what this one says by its headers."""
        self._connection.remembered = head

    def prepare_repeat(self, repeat: "Repeat") -> None:
        """For this client's next request, if it is the same again."""
        self._connection.repeat = repeat

    @property
    def body_idle_s(self) -> float:
        return self._connection.body_idle_s

    @property
    def head_sent(self) -> bool:
        return self.status != 0

    @property
    def connected(self) -> bool:
        """Whether the client is still there, as far as anybody knows."""
        transport = self._connection.transport
        return transport is not None and not transport.is_closing()

    @property
    def content_length(self) -> int | None:
        """What `Content-Length` says; the parser has refused what is no number."""
        length = self.headers.get(hdrs.CONTENT_LENGTH)
        return None if length is None else int(length)

    @property
    def wants_upgrade(self) -> str:
        """The protocol that the client asks to switch to, in lower case; empty if it asks for none."""
        if not self._upgrade or self.version < HTTP_1_1:
            return ""
        return self.headers.get(hdrs.UPGRADE, "").strip().lower()

    def send(
        self, status: int, own: Pairs, body: bytes = b"", *, reason: bytes = b"", theirs: RawPairs = ()
    ) -> None:
        """A whole answer, in one write. Raises `ConnectionResetError` when the client has gone."""
        data = whole_answer(
            self.method,
            self.version,
            status,
            own,
            body,
            keep_alive=self._stays(),
            second=int(unix_now()),
            reason=reason,
            theirs=theirs,
        )
        self._write(data)
        self.status = status
        if status not in BODILESS and self.method != "HEAD":
            self.bytes_out = len(body)

    def begin(self, status: int, own: Pairs, *, reason: bytes = b"", theirs: RawPairs = ()) -> None:
        """The head of an answer that comes in pieces: `write` them, then `end`."""
        head = answer_head(
            self.method,
            self.version,
            status,
            own,
            keep_alive=self._stays(),
            second=int(unix_now()),
            reason=reason,
            theirs=theirs,
        )
        self._write(head.data)
        self.status, self.unfinished, self.keep_alive = status, True, head.keep_alive
        self._framing, self._left = head.framing, head.length

    async def write(self, piece: bytes) -> None:
        """One piece; returns when there is room for another.

        Raises `ConnectionResetError` when the client has gone, and `TimeoutError` when it takes nothing.
        """
        self.put(piece)
        if self._connection.writing_paused:
            async with asyncio.timeout(CLIENT_STALLED_S):
                await self._connection.drained()

    @property
    def held_up(self) -> bool:
        """The client takes less than it is given: what is written now waits here."""
        return self._connection.writing_paused

    def put(self, piece: bytes) -> None:
        """As `write`, whether there is room or not: whoever calls it bounds what may wait."""
        if not piece or self._framing is Framing.NONE:
            return
        if self._framing is Framing.LENGTH:
            self._left -= len(piece)
            if self._left < 0:
                self.cut_off()
        self.bytes_out += len(piece)
        self._write(chunk(piece) if self._framing is Framing.CHUNKED else piece)

    def end(self) -> None:
        """The body was all there. One that is not as long as its head said is cut off instead."""
        if self._framing is Framing.CHUNKED:
            self._write(LAST_CHUNK)
        elif self._left:
            self.cut_off()
        self.unfinished = False

    def continue_100(self) -> None:
        """Tells a client that waits with its body (`Expect: 100-continue`) to send it."""
        self._write(CONTINUE)
        self._told_to_go_on = True

    def cut_off(self) -> None:
        """Ends the connection so that what was sent of an answer can't look complete.

        By a reset: an answer to HTTP/1.0 without a length ends where its connection ends.
        """
        transport = self._connection.transport
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        transport.abort()

    def take_over(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Hands the client's transport to `protocol` for good, with the bytes that followed the head.

        For a request that `wants_upgrade` to `websocket`, before anything was answered. This request's
        task goes on, and is cancelled when that connection ends. `protocol` is told of nothing that was
        before: its `connection_made` is not called. Raises `RuntimeError` for any other request.
        """
        return self._connection.take_over(protocol)

    def _stays(self) -> bool:
        """Whether the connection is good for another request after this answer, as its head has to say.

        It is not, if the client still waits to be told to go on: some send their body after all, and some
        don't, and the next request begins where that body would (RFC 9110, 10.1.1).
        """
        waits = (
            self.body_exists
            and not self._told_to_go_on
            and hdrs.EXPECT in self.headers
            and not self.body.is_eof()
        )
        self.keep_alive = self.keep_alive and not waits and not self._connection.is_ending()
        return self.keep_alive

    def _write(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)

    def __repr__(self) -> str:
        return f"<ClientRequest: {self.method} from {self.peer}, {self.status or 'unanswered'}>"
