"""Requests out of bytes: the same ones however the bytes are cut, and one at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.parse_faults import reason_of
from gateway.runtime.request_reader import RequestReader
from tests.gateway.runtime.gateways import request

GET = request("GET", "/get")
POST = request("POST", "/post", body=b"GET /inside HTTP/1.1\r\n\r\n")
CHUNKED = request("POST", "/chunks", "Transfer-Encoding: chunked") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
SWITCH = request("GET", "/switch", *UPGRADE)
H2C = request("POST", "/h2c", "Connection: Upgrade", "Upgrade: h2c", body=b"hello")
BAD = b"nonsense\r\n\r\n"


def parser() -> HttpRequestParser:
    loop = asyncio.get_running_loop()
    return HttpRequestParser(
        BaseProtocol(loop), loop, 1 << 16, payload_exception=web.RequestPayloadError, max_msg_queue_size=32
    )


def reader(max_header_bytes: int = 65536) -> RequestReader:
    return RequestReader(parser(), max_header_bytes)


async def requests_in(pieces: Iterable[bytes]) -> AsyncIterator[str]:
    """What a connection would read in these pieces: each request is asked for when its turn comes."""
    reading, left = reader(), list(pieces)
    while True:
        read = reading.next()
        while read is None:
            if not left:
                return
            read = reading.feed(left.pop(0))
        if not isinstance(read, tuple):
            yield reason_of(read)
            return
        message, body = read
        while not body.is_eof() and left and body.exception() is None:
            reading.feed(left.pop(0))
        if body.exception() is not None:
            yield "bad body"
            return
        if not body.is_eof():
            return
        yield f"{message.method} {message.path} {body.read_nowait().decode()}"
        if not reading.in_step:
            yield "out of step"
            return


async def read(*pieces: bytes) -> list[str]:
    return [what async for what in requests_in(pieces)]


@given(
    st.lists(st.sampled_from([GET, POST, SWITCH, H2C, b"\r\n", b"\r\n\r\n"]), max_size=8),
    st.sampled_from([b"", CHUNKED, BAD, GET[:-9], POST[:-9], GET.replace(b"HTTP", b"RTSP")]),
    st.lists(st.integers(0, 1 << 16), max_size=6),
)
def test_however_bytes_are_cut_they_are_the_same_requests(
    parts: list[bytes], end: bytes, cuts: list[int]
) -> None:
    raw = b"".join(parts) + end
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    assert asyncio.run(read(*(raw[a:b] for a, b in pairwise(edges)))) == asyncio.run(read(raw))


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (GET + POST, ["GET /get ", "POST /post GET /inside HTTP/1.1\r\n\r\n"]),
        (b"\r\n\r\n" + GET + b"\r\n" + GET + b"\n\r", ["GET /get ", "GET /get "]),
        (GET + BAD + GET, ["GET /get ", "bad_request"]),
        (CHUNKED, ["POST /chunks abc"]),
        (CHUNKED + GET, ["POST /chunks abc", "out of step"]),
        (CHUNKED[:-2] + b"X: 1\r\n\r\n", ["POST /chunks abc", "out of step"]),
        (CHUNKED[:-5] + b"0;x=y\r\n\r\n", ["POST /chunks abc", "out of step"]),
        (CHUNKED + BAD, ["POST /chunks abc", "out of step"]),
        (CHUNKED.replace(b"1\r\nc", b"1\nc"), ["bad_request"]),
        (SWITCH + GET + H2C + GET, ["GET /switch ", "GET /get ", "POST /h2c hello", "GET /get "]),
        (
            CHUNKED.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost"),
            ["POST /chunks abc", "out of step"],
        ),
        (request("POST", "/", *UPGRADE, body=GET) + GET, [f"POST / {GET.decode()}", "GET /get "]),
        (GET.replace(b"HTTP/", b"RTSP/"), ["bad_version"]),
        (request("GET", "/", "Via: RTSP/1.1"), ["GET / "]),
        (b"GET  /  HTTP/1.1\r\nHost: a\r\n\r\n", ["GET / "]),
        (request("POST", "/", "Transfer-Encoding: identity"), ["bad_request"]),
        (request("POST", "/", "Transfer-Encoding: "), ["bad_request"]),
    ],
)
async def test_what_is_read(raw: bytes, found: list[str]) -> None:
    assert await read(raw) == found


NO_CHUNKS = request("POST", "/none", "Transfer-Encoding: chunked") + b"0\r\n\r\n"


@pytest.mark.parametrize(("raw", "found"), [(CHUNKED, "POST /chunks abc"), (NO_CHUNKS, "POST /none ")])
async def test_a_chunked_body_that_ends_with_its_piece_leaves_the_next_request_alone(
    raw: bytes, found: str
) -> None:
    for cut in range(len(raw)):
        assert await read(raw[:cut], raw[cut:], raw, GET) == [found, found, "GET /get "]


async def test_a_body_that_turns_out_to_be_none_fails_for_whoever_reads_it() -> None:
    assert await read(CHUNKED[:-9], b"zz\r\n") == ["bad body"]


async def test_nothing_is_read_ahead_of_being_asked_for() -> None:
    reading = reader()
    assert reading.feed(GET + GET) is None
    assert reading.holds == 2 * len(GET)
    assert isinstance(reading.next(), tuple)
    assert reading.holds == len(GET)
    assert (reading.feed(b"more"), reading.take_held()) == (None, GET + b"more")


async def test_a_head_has_begun_when_a_part_of_it_is_there() -> None:
    reading = reader()
    reading.next()
    for piece, begun in ((b"\r\n", False), (b"\r\n\r\n", False), (GET[:5], True), (GET[5:], False)):
        reading.feed(piece)
        assert reading.head_begun is begun, piece
    reading.feed(GET[:5])
    assert not reading.head_begun, "nobody has asked"
    assert reading.next() is None
    assert reading.head_begun


@pytest.mark.parametrize("size", [1, 100, 10_000])
async def test_a_head_may_be_so_long_and_no_longer_however_it_comes(size: int) -> None:
    head = request("GET", "/", *(["X: " + "y" * 50] * 20))
    assert given_by(reader(len(head)), head, size) == "a request"
    assert given_by(reader(len(head) - 1), head, size) == "headers_too_large"
    assert given_by(reader(len(head) - 2), head[:-1], size) == "headers_too_large", "before its end"


def given_by(reading: RequestReader, head: bytes, size: int) -> str | None:
    """What a head that comes in pieces of that size turns out to be."""
    reading.next()
    for start in range(0, len(head), size):
        if (found := reading.feed(head[start : start + size])) is not None:
            return "a request" if isinstance(found, tuple) else reason_of(found)
    return None


async def test_a_request_for_a_websocket_says_so_once_it_is_all_there() -> None:
    reading = reader()
    reading.next()
    reading.feed(request("POST", "/", *UPGRADE, "Content-Length: 2") + b"a")
    asked = [reading.switches]
    reading.feed(b"brest")
    asked.append(reading.switches)
    assert reading.take_held() == b"rest"
    reading.next()
    asked.append(reading.switches)
    assert asked == [False, True, False], "nobody has switched in the end"
    assert isinstance(reading.feed(GET), tuple)


# What aiohttp's parser does, and this file is about. When one of these fails, less is needed.


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_bytes_behind_a_switch_that_aiohttp_does_not_know_are_lost_to_its_parser(upgrade: str) -> None:
    head = request("GET", "/", "Connection: Upgrade", f"Upgrade: {upgrade}")
    _, switched, rest = parser().feed_data(head + b"rest")
    assert (switched, rest) == ((True, b"rest") if upgrade == "websocket" else (False, b""))


async def test_the_parser_still_makes_a_trailer_a_header() -> None:
    parsing = parser()
    parsing.feed_data(CHUNKED[:-2] + b"Evil: 1\r\n\r\n")
    ((message, _),), _, _ = parsing.feed_data(GET)
    assert "Evil" in message.headers


async def test_the_parser_still_takes_other_protocols_for_http() -> None:
    ((message, _),), _, _ = parser().feed_data(GET.replace(b"HTTP", b"RTSP"))
    assert message.version == (1, 1)


async def test_the_parser_still_drops_what_came_before_bad_bytes() -> None:
    parsing = parser()
    for data in (GET + BAD, b""):
        with pytest.raises(HttpProcessingError):
            parsing.feed_data(data)
