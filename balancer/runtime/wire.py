"""HTTP/1.1 as bytes, towards an instance: a request's head out, an answer's head, body and end in.

There is no socket and no clock in this file. httptools (llhttp) reads; what it would let through and
RFC 9112 would not (a version other than 1.x, a coding other than chunked, a control character in the
reason phrase) is refused here. The same bytes give the same events however they are split.
"""

import re
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import httptools

from balancer.deadline import field_line
from balancer.field_lines import FieldLines
from balancer.headers import EJECT
from balancer.model import Headers, OutboundRequest
from registry.model import Instance

MAX_HEAD = 64 * 1024
"""Bytes of an answer before its body, interim answers included; and as many of trailers."""
MAX_FIELDS = 128
"""Headers of an answer, and as many trailers."""

_METHOD = re.compile("[A-Z][A-Z-]*")
_TARGET = re.compile("/[^\x00-\x20\x7f]*")
_PROTOCOL = b"HTTP/"
_USUAL = b"HTTP/1.1 "
_BAD_REASON = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PHRASES = frozenset(status.phrase.encode() for status in HTTPStatus)
_VERSIONS = frozenset({"1.0", "1.1"})
_RARE_LENGTHS = frozenset({len("Transfer-Encoding"), len(EJECT)})
"""Of the two names that mean something here; hardly any other has as many letters."""
_METHODS_WITH_BODIES = frozenset({"POST", "PUT", "PATCH"})


class BadRequest(Exception):
    """The request can't be written so that it is read the same way. The text names the part."""


class BadAnswer(Exception):
    """What came is no answer, or one that two readers could read differently."""


class CutShort(Exception):
    """The connection ended in the middle of an answer."""


def encode_head(
    request: OutboundRequest, instance: Instance, left_s: float | None = None
) -> tuple[bytes, int | None]:
    """The head as it goes out, and the length of the body that follows it; `None` is chunked.

    A request without `Host` names the instance. A body in memory gets its length, a stream keeps the
    client's `Content-Length` or becomes chunked. `left_s` of the call's time is told, unless the connection
    is to outlive the call. Raises `BadRequest`.
    """
    lines, body = request.headers, request.body
    if not isinstance(lines, FieldLines):
        lines = FieldLines(lines)
    if lines.problem:
        raise BadRequest(lines.problem)
    head = _request_line(request.method, request.target)
    if not lines.has_host:
        head = b"%bHost: %b\r\n" % (head, instance.authority.encode())
    told = b"" if left_s is None or request.switch else field_line(left_s)
    declared = lines.declared
    if not isinstance(body, bytes):
        end = b"\r\n" if declared is not None else b"Transfer-Encoding: chunked\r\n\r\n"
        return head + lines.data + told + end, declared
    length = len(body)
    if declared is None and (length or request.method in _METHODS_WITH_BODIES):
        return b"%b%b%bContent-Length: %d\r\n\r\n" % (head, lines.data, told, length), length
    if declared is not None and declared != length:
        raise BadRequest("content-length")
    return head + lines.data + told + b"\r\n", length


@lru_cache(maxsize=1024)
def _request_line(method: str, target: str) -> bytes:
    """Remembered: the same places are asked for again and again."""
    if _METHOD.fullmatch(method) is None or method == "CONNECT" or _TARGET.fullmatch(target) is None:
        raise BadRequest("request line")
    try:
        return f"{method} {target} HTTP/1.1\r\n".encode()
    except UnicodeEncodeError:
        raise BadRequest("target") from None


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body. Never call it with an empty piece: that would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class AnswerHead:
    status: int
    reason: bytes
    headers: Headers
    eject: bytes | None = None
    """The value of `X-Quaymaster-Eject`, if the instance sent it."""


class AnswerReader:
    """Reads the answers of one connection, one after the other: `expect`, then `feed` until `ended`.

    `head` is there when the head of the final answer is; `pieces` are those of its body that nobody has
    taken yet, and `buffered` their bytes.
    """

    __slots__ = (
        "_fed",
        "_headers",
        "_interim",
        "_no_body",
        "_parser",
        "_reason",
        "_switch",
        "_trailers",
        "_used",
        "_version",
        "buffered",
        "ended",
        "head",
        "keep_alive",
        "leftover",
        "pieces",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._used = False
        self.pieces: deque[bytes] = deque()
        self.expect("GET")

    def expect(self, method: str, *, switch: bool = False) -> None:
        """The answer to a `method` request comes next. `switch`: it may be 101."""
        if self._used or self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            self._used = False
        self._no_body = method == "HEAD"
        self._switch = switch
        self._fed = 0
        self._interim = 0
        self._version = ""
        """Of the head that comes first, where it is the usual one: asking the parser costs more."""
        self._trailers: Headers = []
        self.head: AnswerHead | None = None
        self.pieces.clear()
        self.buffered = 0
        self.ended = False
        self.keep_alive = False
        """The connection may carry another request. Says so only when the answer has `ended`."""
        self.leftover = b""
        """After a 101: what came behind it, in the new protocol."""

    @property
    def begun(self) -> bool:
        """Any byte has come."""
        return self._fed > 0

    def feed(self, data: bytes | memoryview) -> None:
        """Takes what came. Raises `BadAnswer`, after an answer's end too."""
        assert self._parser is not None
        if self._fed < len(_PROTOCOL):
            self._see_protocol(bytes(data[: len(_USUAL)]))
        if self.head is None:
            self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switched(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            self.keep_alive = False
            # What one of the callbacks below raised arrives as the error's context.
            cause = error.__context__
            raise BadAnswer(str(cause if isinstance(cause, BadAnswer) else error)) from None
        # A header without an end is not told of by the parser, which gathers it.
        if self.head is None and self._fed > 2 * MAX_HEAD:
            raise BadAnswer("head too long")

    def _see_protocol(self, start: bytes) -> None:
        """llhttp would take RTSP and ICE for HTTP."""
        if self._fed == 0 and start == _USUAL:
            self._version = "1.1"
        elif not _PROTOCOL.startswith(start[: len(_PROTOCOL) - self._fed], self._fed):
            raise BadAnswer("not HTTP")

    def take(self) -> bytes:
        """All of the body that nobody has taken yet."""
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces.clear()
        self.buffered = 0
        return data

    def eof(self) -> None:
        """The instance sends no more. Raises `CutShort` unless the answer ends just there."""
        if self.ended:
            return
        if self.head is None or not self._ends_by_close():
            raise CutShort
        self.keep_alive = False
        self.ended = True

    def _switched(self, leftover: bytes) -> None:
        if not self._switch:
            raise BadAnswer("101 that nobody asked for")
        self.leftover = leftover

    def _ends_by_close(self) -> bool:
        assert self.head is not None
        names = {name.lower() for name, _ in self.head.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    # --- what httptools calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.ended:
            self.keep_alive = False
            raise BadAnswer("more than one answer")
        self._headers: Headers = []
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is None:
            self._headers.append((name, value))
        else:
            # Read, checked and dropped.
            self._trailers.append((name, value))
            _check_size(self._trailers, 0)

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        assert parser is not None
        if len(headers) > MAX_FIELDS or self._fed > MAX_HEAD:
            _check_size(headers, self._interim)
        status = parser.get_status_code()
        if self._switch and status == 101:
            self.head = AnswerHead(status, self._reason, headers)
            self.ended = True
            return
        if 100 <= status < 200:
            self._interim += 16 + _size(headers)
            self._version = ""
            return
        if not 200 <= status <= 599:
            raise BadAnswer(f"status {status}")
        version = self._version or parser.get_http_version()
        if version not in _VERSIONS:
            raise BadAnswer("not HTTP/1")
        if self._reason not in _PHRASES and _BAD_REASON.search(self._reason):
            raise BadAnswer("control character in the reason phrase")
        eject = None
        if rare := [(n.lower(), v) for n, v in headers if len(n) in _RARE_LENGTHS]:
            codings = [v.strip().lower() for n, v in rare if n == b"transfer-encoding"]
            if codings and (codings != [b"chunked"] or version != "1.1"):
                raise BadAnswer("transfer-encoding other than chunked")
            eject = next((v for n, v in rare if n == EJECT), None)
        self.head = AnswerHead(status, self._reason, headers, eject)
        self.keep_alive = parser.should_keep_alive()
        if self._no_body:
            # llhttp can't be told that no body follows: it would take the next answer for it.
            self._used = True
            self.ended = True

    def on_body(self, piece: bytes) -> None:
        if self._no_body:
            self.keep_alive = False
            raise BadAnswer("a body where there can be none")
        self.buffered += len(piece)
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.head is not None:
            self.ended = True


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _check_size(headers: Headers, before: int) -> None:
    if len(headers) > MAX_FIELDS or before + _size(headers) > MAX_HEAD:
        raise BadAnswer("too many headers")
