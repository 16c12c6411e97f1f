"""One connection on a real socket pair: what it tells, when its deadlines pass, what it leaves behind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from balancer.model import Timeouts, UpstreamBroke, UpstreamFailed
from balancer.outcome import Kind, Phase, Side
from balancer.runtime.connection import HELD, READ_SIZE, Connection
from tests.balancer.origins import OK, until

LONG = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=60)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Peer:
    """The instance's end of the connection."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()

    async def hears(self, count: int = 65536) -> bytes:
        return await self._loop.sock_recv(self._end, count)

    async def says(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._end, data)

    def close(self) -> None:
        self._end.close()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Connection, Peer]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(READ_SIZE))
    _, connection = await loop.create_connection(lambda: Connection(loop, buffer), sock=ours)
    try:
        yield connection, Peer(theirs)
    finally:
        theirs.close()
        connection.abort()
        await until(lambda: connection.closed)


def begin(connection: Connection, timeouts: Timeouts = LONG, *, body_follows: bool = False) -> None:
    now = asyncio.get_running_loop().time()
    connection.begin(GET, "GET", timeouts, now, now + timeouts.total_s, body_follows=body_follows)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_one_call_after_the_other() -> None:
    async with connected() as (connection, peer):
        for _ in range(3):
            begin(connection)
            assert await peer.hears() == GET
            await peer.says(OK)
            assert (await connection.answer()).status == 200
            assert [await connection.read(), await connection.read()] == [b"ok", b""]
            assert connection.end(now=0)
            assert not connection.hung_up()


@pytest.mark.parametrize(
    ("timeouts", "side"),
    [
        (Timeouts(first_byte_s=0.05, total_s=60), Side.INSTANCE),
        (Timeouts(first_byte_s=60, total_s=0.05), Side.GATEWAY),
    ],
    ids=["the instance's", "the whole call's"],
)
async def test_whose_deadline_passed_before_the_answer(timeouts: Timeouts, side: Side) -> None:
    async with connected() as (connection, _):
        begin(connection, timeouts)
        with pytest.raises(UpstreamFailed) as raised:
            await connection.answer()
        outcome = raised.value.outcome
        assert (outcome.phase, outcome.side, outcome.kind) == (Phase.WAIT, side, Kind.TIMEOUT)


@pytest.mark.parametrize("cut", range(1, len(b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n")))
async def test_bytes_without_a_piece_of_the_body_are_waited_over(cut: int) -> None:
    """A part of a chunk's size or of the trailers is no news for whoever reads."""
    body = b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"
    async with connected() as (connection, peer):
        begin(connection)
        await peer.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.answer()
        got = bytearray()

        async def read() -> None:
            while piece := await connection.read():
                got.extend(piece)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            for part in (body[:cut], body[cut:]):
                await asyncio.sleep(0)
                await peer.says(part)
        assert bytes(got) == b"abc"
        assert connection.fault is None


async def test_time_in_which_nobody_reads_does_not_count() -> None:
    async with connected() as (connection, peer):
        begin(connection, Timeouts(first_byte_s=20, idle_s=0.05, total_s=60))
        await peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await connection.answer()
        await asyncio.sleep(0.1)
        assert connection.fault is None
        with pytest.raises(UpstreamBroke) as raised:
            await connection.read()
        assert raised.value.outcome.label == "body_timeout"


async def test_an_answer_does_not_pile_up_while_nobody_reads() -> None:
    async with connected() as (connection, peer):
        begin(connection)
        await peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        await connection.answer()
        pours = asyncio.get_running_loop().create_task(peer.says(b"x" * 10_000_000))
        await until(lambda: connection.answers.buffered > HELD)
        assert not pours.done()
        pours.cancel()
        assert HELD < connection.answers.buffered <= HELD + READ_SIZE


async def test_an_upload_waits_for_an_instance_that_does_not_read() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 65536

    async with connected() as (connection, _):
        begin(connection, Timeouts(idle_s=0.1, total_s=60), body_follows=True)
        await connection.upload(endless(), None)
        assert connection.fault is not None
        assert (connection.fault.phase, connection.fault.side) == (Phase.SEND, Side.INSTANCE)
        assert taken < 100


async def test_a_body_is_chunked_unless_its_length_is_known() -> None:
    async with connected() as (connection, peer):
        begin(connection, body_follows=True)
        await connection.upload(pieces(b"ab", b"", b"cde"), None)
        assert await peer.hears() == GET + b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    async with connected() as (connection, peer):
        begin(connection, body_follows=True)
        await connection.upload(pieces(b"ab", b"", b"cde"), 5)
        assert await peer.hears() == GET + b"abcde"


async def test_an_answer_before_the_body_is_out_leaves_no_usable_connection() -> None:
    async with connected() as (connection, peer):
        begin(connection, body_follows=True)
        await peer.says(OK)
        await connection.answer()
        assert not connection.end(now=0)
        await until(lambda: connection.closed)


async def test_a_connection_that_has_ended_takes_no_request() -> None:
    async with connected() as (connection, peer):
        peer.close()
        await until(lambda: connection.closed)
        begin(connection)
        with pytest.raises(UpstreamFailed) as raised:
            await connection.answer()
        assert not raised.value.outcome.sent


async def test_an_idle_connection_that_was_hung_up_is_known_before_the_loop_tells() -> None:
    async with connected() as (connection, peer):
        assert not connection.hung_up()
        peer.close()
        assert connection.hung_up()
        assert not connection.closed


async def test_whoever_takes_over_gets_what_came_behind_the_switch() -> None:
    class Keeps(asyncio.Protocol):
        heard = b""

        def data_received(self, data: bytes) -> None:
            self.heard += data

        def connection_lost(self, exc: Exception | None) -> None:
            connection.connection_lost(exc)

    async with connected() as (connection, peer):
        now = asyncio.get_running_loop().time()
        connection.begin(GET, "GET", LONG, now, now + 60, switch=True)
        await peer.says(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
        assert (await connection.answer()).status == 101
        keeps = Keeps()
        transport, leftover = connection.take_over(keeps)
        assert leftover == b"first"
        transport.write(b"to the instance")
        assert (await peer.hears()).endswith(b"to the instance")
        await peer.says(b"second")
        await until(lambda: keeps.heard == b"second")
