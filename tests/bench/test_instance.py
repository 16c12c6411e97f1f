"""The instance of our own, over sockets."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import count

import aiohttp
import pytest

from bench.instance import BadRequest, at_once, handshake, read_head, serve_connection
from bench.paths import MIB, MIB_BYTES, SINK, SMALL, SMALL_BODY


def test_the_small_answer_is_as_small_as_it_says() -> None:
    assert len(SMALL_BODY) == 95


def test_the_handshake_of_rfc_6455() -> None:
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in handshake(b"dGhlIHNhbXBsZSBub25jZQ==")


def test_a_head_is_a_target_and_its_headers() -> None:
    target, headers = read_head(b"GET /small HTTP/1.1\r\nHost: a\r\nX-Name:  v \r\n\r\n")
    assert (target, headers) == ("/small", {b"host": b"a", b"x-name": b"v"})


def test_what_is_no_head_is_refused() -> None:
    with pytest.raises(BadRequest):
        read_head(b"hello\r\n\r\n")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = await asyncio.start_server(partial(serve_connection, at_once), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_it_answers_small_and_large_on_one_connection(url: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for path, size in ((SMALL, len(SMALL_BODY)), (MIB, MIB_BYTES), (SMALL, len(SMALL_BODY))):
            async with session.get(url + path) as answer:
                assert (answer.status, len(await answer.read())) == (200, size)


async def test_each_answer_takes_as_long_as_it_is_told() -> None:
    asked = count()
    server = await asyncio.start_server(partial(serve_connection, lambda: 0.0 * next(asked)), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(url + SMALL) as answer:
                assert await answer.read() == SMALL_BODY
    assert next(asked) == 3


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_it_reads_a_body_whole_before_it_answers(url: str, *, chunked: bool) -> None:
    body = b"x" * 300_000

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(2):  # the second finds the first one's body gone
            async with session.post(url + SINK, data=pieces() if chunked else body) as answer:
                assert await answer.read() == SMALL_BODY
