"""The head of an answer as bytes, and the one place that decides how its body is framed (RFC 9112, 6).

Rules of this file: an instance's header bytes go out as they came in, never decoded; its `Content-Length` is
read here and written once. What the gateway says itself replaces what an instance said under that name,
but for `Vary`, where both are true. No `Server` header is ever made up.
"""

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

Pairs = Sequence[tuple[str, str]]
RawPairs = Iterable[tuple[bytes, bytes]]

HTTP_1_1 = (1, 1)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODILESS = frozenset({204, 304})
"""Beside answers to HEAD; 1xx never come here."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_ADDED = frozenset({b"vary"})


class Framing(Enum):
    """How whoever reads an answer knows where its body ends."""

    NONE = "there is none"
    LENGTH = "by Content-Length"
    CHUNKED = "by chunks"
    CLOSE = "with the connection"


class AnswerHead(NamedTuple):
    """What goes out before a body, and what that promises."""

    data: bytes
    framing: Framing
    length: int
    """Bytes of the body to come, where `framing` is LENGTH; else 0."""
    keep_alive: bool
    """Whether the connection is good for another request afterwards."""


def answer_head(
    method: str,
    version: tuple[int, int],
    status: int,
    own: Pairs,
    *,
    keep_alive: bool,
    second: int,
    reason: bytes = b"",
    theirs: RawPairs = (),
    whole: int | None = None,
) -> AnswerHead:
    """The head of one answer to a request of that method and version.

    `own` are the gateway's headers, `theirs` an instance's. `whole` is the body's length where all of
    it is at hand; without it the instance's own announcement holds, or its lack. `second` is the time, in
    Unix seconds. Raises `ValueError` for a line break inside a header: it would begin another one.
    """
    announced, dated = b"", False
    lines = [status_line(status, reason)]
    if theirs:
        replaced = {_lower(name) for name, _ in own} - _ADDED
        for name, value in theirs:
            lower = name.lower()
            if lower == b"content-length":
                announced = value
            elif lower not in replaced:
                dated = dated or lower == b"date"
                lines.append(b"%b: %b\r\n" % (name, value))
    lines += [f"{name}: {value}\r\n".encode() for name, value in own]
    if not dated:
        lines.append(date_line(second))
    framing, length = Framing.LENGTH, 0
    if method == "HEAD" or status in BODILESS:
        framing = Framing.NONE
        if announced and status != 204:
            lines.append(b"Content-Length: %b\r\n" % announced)
    elif whole is not None or announced:
        length = int(announced) if whole is None else whole
        lines.append(b"Content-Length: %d\r\n" % length)
    elif version >= HTTP_1_1:
        framing = Framing.CHUNKED
        lines.append(b"Transfer-Encoding: chunked\r\n")
    else:
        framing, keep_alive = Framing.CLOSE, False
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    elif version < HTTP_1_1:
        lines.append(b"Connection: keep-alive\r\n")
    return AnswerHead(_joined(lines), framing, length, keep_alive)


def switch_head(reason: bytes, own: Pairs, theirs: RawPairs) -> bytes:
    """The 101 with which a connection turns into a WebSocket. Raises `ValueError` as `answer_head` does."""
    lines = [status_line(101, reason), b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n"]
    replaced = {_lower(name) for name, _ in own}
    lines += [b"%b: %b\r\n" % pair for pair in theirs if pair[0].lower() not in replaced]
    lines += [f"{name}: {value}\r\n".encode() for name, value in own]
    return _joined(lines)


def _joined(lines: list[bytes]) -> bytes:
    data = b"".join(lines)
    if data.count(b"\n") != len(lines) or data.count(b"\r") != len(lines):
        raise ValueError("a line break inside a header")
    return data + b"\r\n"


@lru_cache(maxsize=512)
def status_line(status: int, reason: bytes = b"") -> bytes:
    """With the usual phrase where there is none. 1.1 is said to clients of 1.0 too (RFC 9110, 2.5)."""
    return b"HTTP/1.1 %d %b\r\n" % (status, reason or _PHRASES.get(status, b""))


@lru_cache(maxsize=2)
def date_line(second: int) -> bytes:
    """`Date`, made once a second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """A piece of a body under `Framing.CHUNKED`. Never an empty one: that would be `LAST_CHUNK`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@lru_cache(maxsize=256)
def _lower(name: str) -> bytes:
    return name.lower().encode()
