"""A copy of an answer on its way to a client."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from gateway.runtime.client_request import ClientRequest
from gateway.runtime.collecting import Collector, Room
from tests.gateway.runtime.gateways import request, serving, wire

KIB = 1024


class Pieces:
    """A body that comes in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._left = iter(pieces)

    def whole(self) -> bytes | None:
        return None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._left:
            return piece
        raise StopAsyncIteration


async def test_a_copy_of_all_that_went_out() -> None:
    room, copies = Room(KIB), []

    async def answer(client: ClientRequest) -> None:
        client.begin(200, ())
        collector = Collector(client, room, KIB)
        copies.append(await collector.collect(Pieces([b"one", b"two"])))
        await collector.pass_on()

    async with serving(answer) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        assert (await client.answer()).body == b"onetwo"
    assert copies == [b"onetwo"]
    assert room.taken == 0


@pytest.mark.parametrize(("limit", "room"), [(10, KIB), (KIB, 10)])
async def test_what_gets_too_long_goes_out_all_the_same(limit: int, room: int) -> None:
    shared = Room(room)

    async def answer(client: ClientRequest) -> None:
        client.begin(200, ())
        collector, body = Collector(client, shared, limit), Pieces([b"x" * 6] * 4)
        assert await collector.collect(body) is None
        await collector.pass_on(body)

    async with serving(answer) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        assert (await client.answer()).body == b"x" * 24
    assert shared.taken == 0


async def test_a_client_that_reads_nothing_does_not_keep_the_copy_waiting() -> None:
    size, copies, given = 32 * KIB * KIB, [], []

    async def answer(client: ClientRequest) -> None:
        client.begin(200, (), theirs=[(b"Content-Length", b"%d" % size)])
        collector = Collector(client, Room(size), size)
        copies.append(await collector.collect(Pieces([b"x" * 64 * KIB] * 512)))
        given.append(client.bytes_out)
        read_on.set()
        await collector.pass_on()

    read_on = asyncio.Event()
    async with serving(answer) as port, wire(port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
        await client.say(request("GET", "/"))
        async with asyncio.timeout(10):
            await read_on.wait()
        assert copies == [b"x" * size]
        assert given[0] < size // 2, "what it does not take does not pile up twice"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await client.answer()).body == b"x" * size


async def test_who_wants_no_body_gets_none() -> None:
    collector = Collector(None, Room(KIB), KIB)
    assert await collector.collect(Pieces([b"x"])) == b"x"
    await collector.pass_on()
    collector.release()
