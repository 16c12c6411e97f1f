"""How another implementation reads the same bytes: h11, and what it lets pass and RFC 9112 does not.

Rules of this file: pure. Bytes in, messages out, and a word on what is wrong with them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import h11

Pairs = tuple[tuple[bytes, bytes], ...]

MAX_HEAD = 1 << 20
"""Heads are never too large for the oracle: their size is the gateway's business."""

ADDED = re.compile(rb"host|x-forwarded-(?:for|host|proto)|x-request-(?:id|timeout-ms)|x-quaymaster-hop")
"""What the gateway sets on every request. `Host` only where HTTP/1.0 had none."""

FRAMING = frozenset({b"content-length", b"expect", b"te", b"trailer", b"transfer-encoding"})
PER_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade"})

NOT_IN_A_HEAD = re.compile(rb"\r(?!\n)|(?<!\r)\n|\r\n[ \t]|\x00")
"""h11 takes bare line feeds and folded lines; what the gateway sends must have neither."""


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    method: bytes
    target: bytes
    headers: Pairs
    """Names in lower case."""
    body: bytes
    trailers: Pairs = ()

    @property
    def message(self) -> tuple[bytes, bytes, bytes]:
        """What it asks for; headers and framing may change on the way."""
        return self.method, self.target, self.body

    def all(self, name: bytes) -> list[bytes]:
        return values(self.headers, name)


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer; `interim` are the 1xx before it."""

    status: int
    reason: bytes
    headers: Pairs
    body: bytes
    trailers: Pairs = ()
    interim: tuple[int, ...] = ()

    def all(self, name: bytes) -> list[bytes]:
        return values(self.headers, name)

    def one(self, name: bytes) -> bytes:
        """The only value of that header."""
        (value,) = self.all(name)
        return value


@dataclass(slots=True)
class Requests:
    """What came on one connection: whole requests, whether another one has begun, what is wrong."""

    whole: list[Request] = field(default_factory=list)
    begun: bool = False
    problem: str | None = None

    @property
    def messages(self) -> list[tuple[bytes, bytes, bytes]]:
        return [request.message for request in self.whole]


@dataclass(slots=True)
class Answers:
    """What an instance or the gateway said on one connection."""

    whole: list[Answer] = field(default_factory=list)
    rest: bytes = b""
    """Belongs to no whole answer."""
    cut: bool = False
    """An answer has begun and is not whole."""
    problem: str | None = None


def sent_headers(request: Request) -> list[tuple[bytes, bytes]]:
    """Those that must arrive as they were sent: without framing, what belongs to one connection, what
    the gateway sets itself, and twins of these with underscores."""
    return [
        (name, value)
        for name, value in request.headers
        if not ADDED.fullmatch(name) and name.replace(b"_", b"-") not in FRAMING | PER_CONNECTION
    ]


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Every value under that (lower-case) name, in order."""
    return [value for key, value in headers if key == name]


def requests_in(raw: bytes, *, generous: bool = False) -> Requests:
    """Every request that a server reads in these bytes.

    With `generous`, it also reads what RFC 9112 lets a server take from a client and h11 does not: empty
    lines before a request line (2.2) and more than one space in it (3).
    """
    found = Requests()
    while raw:
        if generous:
            raw = re.sub(rb"^([A-Z]+) +/ ", rb"\1 / ", raw.lstrip(b"\r\n"))
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        connection.receive_data(raw)
        try:
            request, body, trailers = _message(connection)
        except h11.RemoteProtocolError as error:
            found.problem, found.begun = str(error), True
            return found
        if isinstance(request, h11.Request):
            found.problem = found.problem or head_problem(raw)
        if not isinstance(request, h11.Request) or trailers is None:
            found.begun = bool(raw.strip(b"\r\n"))
            return found
        found.whole.append(
            Request(request.method, request.target, tuple(request.headers), body, tuple(trailers))
        )
        raw, _ = connection.trailing_data
        if connection.their_state is h11.MUST_CLOSE:
            break
    return found


def answers_in(raw: bytes, methods: Sequence[bytes] = (), *, closed: bool = False) -> Answers:
    """Every answer that a client reads in these bytes, who has asked with these methods (then GET)."""
    found = Answers(rest=raw)
    while found.rest:
        method = methods[len(found.whole)] if len(found.whole) < len(methods) else b"GET"
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(found.rest)
        if closed:
            connection.receive_data(b"")
        interim: list[int] = []
        try:
            answer, body, trailers = _message(connection, interim)
        except h11.RemoteProtocolError as error:
            found.problem, found.cut = str(error), True
            return found
        if not isinstance(answer, h11.Response) or trailers is None:
            found.cut = True
            return found
        found.problem = found.problem or head_problem(found.rest)
        found.whole.append(
            Answer(
                answer.status_code,
                bytes(answer.reason),
                tuple(answer.headers),
                body,
                tuple(trailers),
                tuple(interim),
            )
        )
        found.rest, _ = connection.trailing_data
    return found


def head_problem(raw: bytes) -> str | None:
    """What RFC 9112 forbids in the head at the start of these bytes, and h11 takes all the same."""
    head = raw.lstrip(b"\r\n")
    end = re.search(rb"\r?\n\r?\n", head)
    wrong = NOT_IN_A_HEAD.search(head[: end.start()] if end else head)
    return f"{wrong[0]!r} in a head" if wrong else None


def _message(
    connection: h11.Connection, interim: list[int] | None = None
) -> tuple[h11.Request | h11.Response | None, bytes, list[tuple[bytes, bytes]] | None]:
    """Head, body and trailers of the next message: each `None` as far as it is not there."""
    head: h11.Request | h11.Response | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.InformationalResponse) and interim is not None:
            interim.append(event.status_code)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return head, bytes(body), list(event.headers)
        else:
            return head, bytes(body), None
