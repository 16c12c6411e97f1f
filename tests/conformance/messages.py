"""Random messages that a gateway has to carry unchanged, as Hypothesis strategies."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from tests.conformance.oracle import Pairs

TOKEN = "!#$%&'*+-.^`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Of header names; not the underscore: twins of headers that the gateway vouches for are dropped."""

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
IN_PATH = PRINTABLE.translate(dict.fromkeys(map(ord, "?#\\%/")))
IN_QUERY = PRINTABLE.replace("#", "")
IN_VALUE = bytes([*range(0x20, 0x7F), *range(0x80, 0x100), 9])

NOT_RANDOM = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "proxy", "http2-settings", "expect", "host"),
        *("content-length", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
        *(
            "x-real-ip",
            "x-request-id",
            "x-request-timeout-ms",
            "x-user-id",
            "x-internal-key",
            *(
                "x-http-method",
                "x-http-method-override",
                "x-method-override",
                "x-original-url",
                "x-rewrite-url",
            ),
            "date",
            "server",
        ),
    }
)
"""Headers with a meaning on the way. What becomes of them is tested by name in test_front.py."""


@dataclass(frozen=True, slots=True)
class Message:
    """The same message as it is meant and as it goes out."""

    raw: bytes
    headers: Pairs
    """Without framing, in order, as they are spelled."""
    body: bytes
    cuts: tuple[int, ...]
    """Where the bytes are cut into segments."""

    def pieces(self) -> list[bytes]:
        edges = [0, *sorted(cut % (len(self.raw) + 1) for cut in self.cuts), len(self.raw)]
        return [self.raw[start:end] for start, end in pairwise(edges) if end > start]


@dataclass(frozen=True, slots=True)
class Asked(Message):
    method: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class Told(Message):
    status: int
    ends_with_connection: bool


NAMES = st.text(TOKEN, min_size=1, max_size=20).filter(
    lambda name: name.lower() not in NOT_RANDOM and not name.lower().startswith("x-quaymaster-")
)
SHARED = st.sampled_from(["X-Twice", "x-twice", "Set-Cookie", "Accept"])
VALUES = st.lists(st.sampled_from(IN_VALUE), max_size=40).map(lambda octets: bytes(octets).strip(b" \t"))
HEADERS = st.lists(st.tuples(st.one_of(NAMES, SHARED).map(str.encode), VALUES), max_size=8).map(tuple)

BODIES = st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=16).map(lambda x: x * 20_000))
CUTS = st.lists(st.integers(0, 1 << 20), max_size=6).map(tuple)

ESCAPES = st.integers(0x20, 0xFF).filter(lambda octet: octet not in (0x2E, 0x2F, 0x5C, 0x7F))
SEGMENTS = st.lists(st.one_of(st.sampled_from(IN_PATH), ESCAPES.map("%{:02X}".format)), max_size=8).map(
    lambda parts: "s" + "".join(parts)
)
"""They begin with a letter, so that none is a dot segment."""
TARGETS = st.builds(
    lambda segments, query: ("/" + "/".join(segments) + ("" if query is None else f"?{query}")).encode(),
    st.lists(SEGMENTS, max_size=4),
    st.one_of(st.none(), st.text(IN_QUERY, max_size=20)),
)


def chunked(body: bytes, sizes: Iterable[int], extension: str) -> bytes:
    """The body in chunks of these sizes, the last as long as it needs to be."""
    chunks, at = [], 0
    for size in [*sizes, len(body)]:
        piece = body[at : at + size]
        at += len(piece)
        if piece:
            chunks.append(f"{len(piece):x}{extension}\r\n".encode() + piece + b"\r\n")
    return b"".join(chunks) + b"0\r\n\r\n"


SIZES = st.lists(st.integers(1, 5000), max_size=5)
EXTENSIONS = st.sampled_from(["", "", ";a", ';a="b c"', ";a=b;c=d"])


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    """A request with any head and body."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD"]))
    target, fields, cuts = draw(TARGETS), draw(HEADERS), draw(CUTS)
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = b"" if framing == "none" else draw(BODIES)
    lines, end = _framed(draw, framing, fields, body)
    head = b"".join([method, b" ", target, b" HTTP/1.1\r\nHost: a.example\r\n", *lines, b"\r\n"])
    return Asked(head + end, fields, body, cuts, method, target)


@st.composite
def told(draw: st.DrawFn) -> Told:
    """An answer with any head and body, interim answers before it; its raw bytes are those to a GET."""
    status = draw(st.one_of(st.sampled_from([200, 204, 304]), st.integers(200, 599)))
    fields, cuts = draw(HEADERS), draw(CUTS)
    framing = "none" if status in (204, 304) else draw(st.sampled_from(["length", "chunked", "close"]))
    body = b"" if framing == "none" else draw(BODIES)
    lines, end = _framed(draw, framing, fields, body)
    interim = draw(st.sampled_from([b"", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]))
    head = b"".join([f"HTTP/1.1 {status} Any reason\r\n".encode(), *lines, b"\r\n"])
    return Told(interim + head + end, fields, body, cuts, status, framing == "close")


def _framed(draw: st.DrawFn, framing: str, fields: Pairs, body: bytes) -> tuple[list[bytes], bytes]:
    """Header lines with the framing somewhere among them, and the bytes of the body."""
    lines = [b"%b: %b\r\n" % pair for pair in fields]
    at = draw(st.integers(0, len(lines)))
    if framing == "length":
        lines.insert(at, b"Content-Length: %d\r\n" % len(body))
    if framing == "chunked":
        lines.insert(at, b"Transfer-Encoding: chunked\r\n")
        return lines, chunked(body, draw(SIZES), draw(EXTENSIONS))
    return lines, body
