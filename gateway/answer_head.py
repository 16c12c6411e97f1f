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
from operator import itemgetter
from typing import NamedTuple

Pairs = Sequence[tuple[str, str]]
RawPairs = Iterable[tuple[bytes, bytes]]

HTTP_1_1 = (1, 1)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCHED = 101
"""The answer that begins a WebSocket, and its status until it ends."""
BODILESS = frozenset({204, 304})
"""Beside answers to HEAD; 1xx never come here."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_LF, _CR = b"\n\r"
"""Numbers: `in` searches bytes for these several times faster than for bytes."""
_NAME = itemgetter(0)


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


def whole_answer(
    method: str,
    version: tuple[int, int],
    status: int,
    own: Pairs,
    body: bytes,
    *,
    keep_alive: bool,
    second: int,
    reason: bytes = b"",
    theirs: RawPairs = (),
) -> bytes:
    """An answer to a request of that method and version whose body is at hand; HEAD gets only its head.

    `own` are the gateway's headers, `theirs` an instance's. `second` is the time, in Unix seconds.
    Raises `ValueError` for a line break inside a header: it would begin another one.
    """
    lines, announced = _begun(status, reason, own, theirs, second)
    if method == "HEAD" or status in BODILESS:
        body = b""
        if announced and status != 204:
            lines.append(b"Content-Length: " + announced)
    else:
        lines.append(b"Content-Length: %d" % len(body))
    return _joined(lines, version, keep_alive) + body


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
) -> AnswerHead:
    """The head of an answer whose body is still to come; as `whole_answer`.

    The body is as long as the instance has announced, and framed for that version where it has not.
    """
    lines, announced = _begun(status, reason, own, theirs, second)
    framing, length = Framing.LENGTH, 0
    if method == "HEAD" or status in BODILESS:
        framing = Framing.NONE
        if announced and status != 204:
            lines.append(b"Content-Length: " + announced)
    elif announced:
        length = int(announced)
        lines.append(b"Content-Length: %d" % length)
    elif version >= HTTP_1_1:
        framing = Framing.CHUNKED
        lines.append(b"Transfer-Encoding: chunked")
    else:
        framing, keep_alive = Framing.CLOSE, False
    return AnswerHead(_joined(lines, version, keep_alive), framing, length, keep_alive)


def switch_head(reason: bytes, own: Pairs, theirs: RawPairs) -> bytes:
    """The 101 with which a connection turns into a WebSocket. Raises `ValueError` as `whole_answer` does."""
    lines = [status_line(SWITCHED, reason), b"Connection: Upgrade", b"Upgrade: websocket"]
    replaced = _replaced((*map(_NAME, own),))
    lines += [b": ".join(pair) for pair in theirs if pair[0].lower() not in replaced]
    lines += map(str.encode, map(": ".join, own))
    return _joined(lines, HTTP_1_1, keep_alive=True)


def _begun(
    status: int, reason: bytes, own: Pairs, theirs: RawPairs, second: int
) -> tuple[list[bytes], bytes]:
    """The lines that do not depend on a body, and the `Content-Length` that an instance has announced."""
    lines, announced, dated = [status_line(status, reason)], b"", False
    if theirs:
        replaced = _replaced((*map(_NAME, own),))
        for pair in theirs:
            lower = pair[0].lower()
            if lower == b"content-length":
                announced = pair[1]
            elif lower not in replaced:
                lines.append(b": ".join(pair))
                if lower == b"date":
                    dated = True
    lines += map(str.encode, map(": ".join, own))
    if not dated:
        lines.append(date_line(second))
    return lines, announced


def _joined(lines: list[bytes], version: tuple[int, int], keep_alive: bool) -> bytes:
    if not keep_alive:
        lines.append(b"Connection: close")
    elif version < HTTP_1_1:
        lines.append(b"Connection: keep-alive")
    # One search in all of them costs a quarter of a search in each.
    text = b" ".join(lines)
    if _LF in text or _CR in text:
        raise ValueError("a line break inside a header")
    lines += (b"", b"")
    return b"\r\n".join(lines)


@lru_cache(maxsize=512)
def status_line(status: int, reason: bytes = b"") -> bytes:
    """With the usual phrase where there is none. 1.1 is said to clients of 1.0 too (RFC 9110, 2.5)."""
    return b"HTTP/1.1 %d %b" % (status, reason or _PHRASES.get(status, b""))


@lru_cache(maxsize=2)
def date_line(second: int) -> bytes:
    """`Date`, made once a second."""
    return f"Date: {formatdate(second, usegmt=True)}".encode()


def chunk(data: bytes) -> bytes:
    """A piece of a body under `Framing.CHUNKED`. Never an empty one: that would be `LAST_CHUNK`."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@lru_cache(maxsize=256)
def _replaced(names: tuple[str, ...]) -> frozenset[bytes]:
    """What an instance's answer loses to headers of these names. Remembered: answers have the same ones."""
    return frozenset(name.lower().encode() for name in names) - {b"vary"}
