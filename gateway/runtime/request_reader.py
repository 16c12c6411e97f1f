"""Requests out of the bytes of one connection, one at a time.

Rules of this file: aiohttp's parser reads every byte, once and in order; what is decided here is only when.
It gets a head, then that request's body, and what follows waits until somebody asks for the next request.
So nothing that comes behind a request can take it back, a switch to another protocol loses no bytes, and
where a head begins is known. If the parser ever saw a head end elsewhere than here, its connection ends.
"""

import math

from aiohttp import EMPTY_PAYLOAD, StreamReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.http_parser import HttpParser, RawRequestMessage

from gateway.runtime.parse_faults import HeadTooLong, NotHttp
from gateway.target import framing_is_clear

LINE_END = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"

END_OF_CHUNKS = b"\r\n0\r\n\r\n"
"""The end of a chunked body without trailers: no trailer is a line without a colon."""

HTTP = b" HTTP/"
VERSION = len(" HTTP/1.1")
"""What ends a request line. The parser also takes `RTSP/1.1` there, and does not say so."""

Read = tuple[RawRequestMessage, StreamReader] | HttpProcessingError
"""A request, or why what came is none; nothing more may be read then."""


class RequestReader:
    """Call `next` for each request, once the body of the one before was read to its end."""

    __slots__ = (
        "_body",
        "_held",
        "_last",
        "_left",
        "_limit",
        "_parser",
        "_part",
        "_wanted",
        "in_step",
        "switches",
    )

    def __init__(self, parser: HttpParser[RawRequestMessage], max_header_bytes: int) -> None:
        self._parser = parser
        self._limit = max_header_bytes
        self._wanted = False
        """Whether a head may be read."""
        self._part = bytearray()
        """As much of it as has come, if that is not all."""
        self._held = b""
        """What came behind the request that was given out last."""
        self._body: StreamReader = EMPTY_PAYLOAD
        self._left: float = 0
        """Bytes of the body to come; infinite as long as only chunks tell."""
        self._last = b""
        """The last bytes of a chunked body, or what stands before it."""
        self.in_step = True
        """Whether the parser would read the next request by itself.

        It makes the last trailer of a body the first header of the next request, and does not say whether
        there was one. So a chunked body must have had its plain end, as the last bytes that came.
        """
        self.switches = False
        """The request given out last is all there, and asks for a WebSocket in place of HTTP."""

    @property
    def head_begun(self) -> bool:
        """Whether a part of a head has come, and not all of it."""
        return bool(self._part)

    @property
    def holds(self) -> int:
        """Bytes that wait for the next request to be asked for."""
        return len(self._held)

    def next(self) -> Read | None:
        """The next request; `None` if it is not all there yet: `feed` will give it."""
        self._parser.message_consumed()
        if self.switches:
            # Nobody has switched, so HTTP goes on.
            self._parser.set_upgraded(False)
            self.switches = False
        self._wanted = True
        return self._read_head(self.take_held()) if self._held else None

    def feed(self, data: bytes) -> Read | None:
        """The request that `next` asked for, if this completes its head. Empty data makes a parser go on
        that a full body has paused."""
        if self._wanted:
            return self._read_head(data)
        if self._left or not data:
            self._read_body(data)
        else:
            self._held += data
        return None

    def take_held(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def close(self) -> None:
        """Forgets the parser, which knows the connection. Nothing may be read afterwards."""
        del self._parser

    def _read_head(self, data: bytes) -> Read | None:
        self._wanted = False
        begun = len(self._part)
        if begun:
            self._part += data
        head = self._part if begun else data.lstrip(LINE_END)
        at = head.find(END_OF_HEAD, max(begun - 3, 0) if begun else 0)
        end = len(head) if at < 0 else at + len(END_OF_HEAD)
        behind = len(head) - end
        try:
            messages, self.switches, _ = self._parser.feed_data(data[:-behind] if behind else data)
        except HttpProcessingError as fault:
            return fault
        if end > self._limit:
            return HeadTooLong()
        if len(messages) != (at >= 0):
            return BadHttpMessage("where a head ends")
        if not messages:
            self._wanted = True
            if not begun:
                self._part += head
            return None
        if begun:
            self._part = bytearray()
        message, self._body = messages[0]
        if (wrong := _fault_of(message, head)) is not None:
            return wrong
        if self._body is not EMPTY_PAYLOAD:
            self._expect_body(message)
        if behind:
            self.feed(data[-behind:])
            if self._body.exception() is not None:
                return BadHttpMessage("what begins a body")
        return messages[0]

    def _expect_body(self, message: RawRequestMessage) -> None:
        length = message.headers.get(hdrs.CONTENT_LENGTH)
        self._left = math.inf if length is None else int(length)
        self._last = LINE_END
        if length is None and message.upgrade:
            # Behind such a body, the parser drops what came with its end.
            self.in_step = False

    def _read_body(self, data: bytes) -> None:
        if len(data) > self._left:
            end = int(self._left)
            self._held += data[end:]
            data = data[:end]
        self._left -= len(data)
        try:
            messages, self.switches, _ = self._parser.feed_data(data)
        except HttpProcessingError:
            self._fail()
            return
        if self._left == math.inf:
            self._last = (self._last + data[-len(END_OF_CHUNKS) :])[-len(END_OF_CHUNKS) :]
            if self._body.is_eof():
                self._left = 0
                if self._last != END_OF_CHUNKS:
                    self.in_step = False
        if messages:
            self.in_step = False

    def _fail(self) -> None:
        """Bytes inside of a body were none of a body. The parser gives that body up without telling it."""
        self._left, self.in_step = 0, False
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("malformed"))


def _fault_of(message: RawRequestMessage, head: bytes | bytearray) -> HttpProcessingError | None:
    """What is wrong with a head that aiohttp's parser lets pass."""
    if not head.startswith(HTTP, head.find(LINE_END) - VERSION):
        return NotHttp()
    coding = message.headers.get(hdrs.TRANSFER_ENCODING)
    if coding is not None and not framing_is_clear(message.version, coding):
        return BadHttpMessage(hdrs.TRANSFER_ENCODING)
    return None
