"""Bodies of answers over real connections: read whole, in pieces, or given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from balancer.model import OutboundRequest, Timeouts
from balancer.runtime.bodies import StreamedBody, WholeBody
from balancer.runtime.tunnel import Tunnel
from balancer.runtime.upstream import PooledUpstream
from tests.balancer.origins import Connection, Origin, answers, origin, until


@asynccontextmanager
async def asked(there: Origin, request: OutboundRequest) -> AsyncIterator[tuple[PooledUpstream, object]]:
    async with PooledUpstream() as upstream:
        answer = await upstream.send(there.instance, request, Timeouts())
        yield upstream, answer.body


async def test_a_whole_body_can_be_read_either_way() -> None:
    body = WholeBody(b"all of it")
    assert body.whole() == b"all of it"
    assert [piece async for piece in body] == [b"all of it"]
    assert [piece async for piece in WholeBody(b"")] == []


async def test_an_answer_that_came_whole_leaves_its_connection_idle_at_once() -> None:
    async with (
        origin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as there,
        asked(there, OutboundRequest("GET", "/", [])) as (upstream, body),
    ):
        assert isinstance(body, WholeBody)
        assert [stats.idle for stats in upstream.stats().values()] == [1]


async def test_what_has_come_meanwhile_can_be_taken_whole_and_its_connection_given_back() -> None:
    async def in_two_parts(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await connection.origin.go.wait()
        await connection.say(b"lf")
        await connection.reader.read()

    async with (
        origin(in_two_parts) as there,
        asked(there, OutboundRequest("GET", "/", [])) as (upstream, body),
    ):
        assert isinstance(body, StreamedBody)
        assert (body.whole(), body.ended) == (None, False)
        there.go.set()
        await until(lambda: body.ended)
        assert body.whole() == b"half"
        assert [stats.in_use for stats in upstream.stats().values()] == [1]
        await body.release()
        assert body.ended
        assert [stats.idle for stats in upstream.stats().values()] == [1]


async def test_a_body_given_up_ends_the_upload_before_anybody_else_reads_the_client() -> None:
    async def turns_down(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await connection.reader.read()

    reading = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal reading
        reading = 1
        try:
            while True:
                await asyncio.sleep(3600)
                yield b"never"
        finally:
            reading = 2

    async with (
        origin(turns_down) as there,
        asked(there, OutboundRequest("POST", "/", [], endless())) as (_, body),
    ):
        assert isinstance(body, StreamedBody)
        assert (body.whole(), reading) == (b"no", 1)
        await body.release()
        assert reading == 2
        await until(lambda: there.open_connections == 0)


async def test_nothing_is_left_to_read_once_a_body_was_released() -> None:
    async with (
        origin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")) as there,
        asked(there, OutboundRequest("GET", "/", [])) as (_, body),
    ):
        assert isinstance(body, StreamedBody)
        await body.release()
        await body.release()
        assert [piece async for piece in body] == []
        with pytest.raises(AssertionError):
            body.take_over(Tunnel(1).client)
