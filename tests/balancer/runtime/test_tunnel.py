"""Two socket pairs joined by a tunnel: a client at one end, an instance at the other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from balancer.runtime.tunnel import Tunnel
from tests.balancer.origins import until


class Far:
    """The far side of one of the two connections: what a client or an instance holds."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()

    async def says(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._end, data)

    async def hears(self, count: int = 65536) -> bytes:
        async with asyncio.timeout(5):
            return await self._loop.sock_recv(self._end, count)

    def no_more(self) -> None:
        self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._end.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for end in (ours, theirs):
        # Else the kernel alone would hold megabytes.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    theirs.setblocking(False)
    return ours, theirs


class Behind(asyncio.Protocol):
    """What the transport belonged to before."""

    ended = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended += 1


class Joined:
    def __init__(self, tunnel: Tunnel, client: Far, instance: Far, task: "asyncio.Task[None]") -> None:
        self.tunnel = tunnel
        self.client = client
        self.instance = instance
        self.task = task
        self.behind = Behind()


@asynccontextmanager
async def joined(idle_s: float = inf, early: tuple[bytes, bytes] = (b"", b"")) -> AsyncIterator[Joined]:
    loop = asyncio.get_running_loop()
    tunnel = Tunnel(idle_s)
    fars, transports = [], []
    for end in (tunnel.client, tunnel.instance):
        ours, theirs = tcp_pair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.set_protocol(end)
        transports.append(transport)
        fars.append(theirs)
    tunnel.join((transports[0], early[0]), (transports[1], early[1]))
    made = Joined(tunnel, Far(fars[0]), Far(fars[1]), loop.create_task(tunnel.run()))
    tunnel.client.behind = tunnel.instance.behind = made.behind
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.wait([made.task])
        await until(lambda: made.behind.ended == 2)
        for far in fars:
            far.close()


async def test_bytes_go_both_ways_unchanged() -> None:
    async with joined() as both:
        await both.client.says(b"\x81\x05hello")
        assert await both.instance.hears() == b"\x81\x05hello"
        await both.instance.says(b"\x00\xff")
        assert await both.client.hears() == b"\x00\xff"
        assert repr(both.tunnel) == "<Tunnel: 7 bytes in, 2 bytes out>"


async def test_what_was_said_before_they_were_joined_is_not_lost() -> None:
    async with joined(early=(b"from the client", b"from the instance")) as both:
        assert await both.instance.hears() == b"from the client"
        assert await both.client.hears() == b"from the instance"


async def test_who_says_no_more_may_still_hear() -> None:
    async with joined() as both:
        both.client.no_more()
        assert await both.instance.hears() == b""
        await both.instance.says(b"last words")
        assert await both.client.hears() == b"last words"
        both.instance.no_more()
        assert await both.client.hears() == b""
        await both.task


@pytest.mark.parametrize("who", ["client", "instance"])
async def test_an_end_that_closes_takes_the_other_with_it(who: str) -> None:
    async with joined() as both:
        gone, left = (both.client, both.instance) if who == "client" else (both.instance, both.client)
        gone.close()
        assert await left.hears() == b""
        left.close()
        await both.task


@pytest.mark.parametrize("who", ["client", "instance"])
async def test_who_does_not_read_slows_the_other_down(who: str) -> None:
    async with joined() as both:
        slow, busy = (both.client, both.instance) if who == "client" else (both.instance, both.client)
        pours = asyncio.get_running_loop().create_task(busy.says(b"x" * 20_000_000))
        end = both.tunnel.instance if who == "client" else both.tunnel.client
        seen = -1
        while seen != end.carried:
            seen = end.carried
            await asyncio.sleep(0.05)
        assert not pours.done()
        assert end.carried < 2_000_000
        heard = 0
        while heard < 20_000_000:
            heard += len(await slow.hears(1 << 20))
        await pours


async def test_a_tunnel_in_which_nothing_moves_is_closed() -> None:
    async with joined(idle_s=0.05) as both:
        await both.task
        assert both.tunnel.idled_out
        assert await both.client.hears() == b""
        assert await both.instance.hears() == b""


async def test_what_moves_keeps_a_tunnel_alive() -> None:
    async with joined(idle_s=0.3) as both:
        for _ in range(10):
            await both.instance.says(b"ping")
            assert await both.client.hears() == b"ping"
            await asyncio.sleep(0.05)
        assert not both.task.done()


async def test_cancelling_closes_both_ends() -> None:
    async with joined() as both:
        await asyncio.sleep(0)
        both.task.cancel()
        for far in (both.client, both.instance):
            try:
                assert await far.hears() == b""
            except ConnectionResetError:
                continue
