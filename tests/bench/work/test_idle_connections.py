"""Connections that are held are counted as long as the other side holds them too."""

import asyncio
import socket
from functools import partial

from bench.instance import at_once, serve_connection
from bench.work.idle_connections import closed, held


def hold(port: int, count: int) -> tuple[int, int]:
    with held(port, count) as sockets:
        before = closed(sockets)
        sockets[0].shutdown(socket.SHUT_WR)  # the instance answers the end with its own
        assert sockets[0].recv(1) == b""
        return before, closed(sockets)


async def test_closed_connections_are_counted() -> None:
    server = await asyncio.start_server(partial(serve_connection, at_once), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(hold, port, 5) == (0, 1)
