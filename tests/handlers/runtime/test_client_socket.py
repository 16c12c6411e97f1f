"""Sockets whose clients read, do not read, and do not answer."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from handlers.runtime import client_socket
from handlers.runtime.client_socket import ClientSocket, tell_all
from tests.handlers.runtime.gateways import until

Use = Callable[[ClientSocket], Awaitable[None]]


async def listen(socket: ClientSocket) -> None:
    async for _ in socket:
        pass


class Quay:
    """A server whose sockets are here as well as at its clients."""

    def __init__(self) -> None:
        self.inside: list[ClientSocket] = []
        self.use: Use = listen

    async def endpoint(self, request: web.Request) -> web.StreamResponse:
        socket = ClientSocket(timeout=0.1)
        await socket.prepare(request)
        self.inside.append(socket)
        await self.use(socket)
        return socket


@asynccontextmanager
async def quay() -> AsyncIterator[tuple[Quay, str, ClientSession]]:
    made = Quay()
    app = web.Application()
    app.router.add_get("/ws", made.endpoint)
    async with TestServer(app, shutdown_timeout=0.1) as server, ClientSession() as session:
        yield made, str(server.make_url("/ws")), session


async def never_reads(url: str) -> sockets.socket:
    """A client that takes the handshake's answer, and whose machine has room for next to nothing more."""
    host, port = url.split("/")[2].split(":")
    loop, client = asyncio.get_running_loop(), sockets.socket()
    client.setblocking(False)
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    await loop.sock_connect(client, (host, int(port)))
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    await loop.sock_sendall(client, head.encode())
    await loop.sock_recv(client, 1024)
    return client


@asynccontextmanager
async def stuck(made: Quay, url: str) -> AsyncIterator[ClientSocket]:
    """A socket whose client does not read, with an application that waits for it."""

    async def write(socket: ClientSocket) -> None:
        with suppress(ConnectionError):
            while True:
                await socket.send_bytes(bytes(262_144))

    made.use = write
    client = await never_reads(url)
    try:
        await until(lambda: made.inside and not made.inside[0].keeps_up)
        made.use = listen
        yield made.inside[0]
    finally:
        made.inside[0].abort()
        client.close()


def was_used_after(socket: ClientSocket, before: float) -> bool:
    return socket.active_at > before


async def test_using_it_is_noticed_and_being_told_is_no_use() -> None:
    async with quay() as (made, url, session), session.ws_connect(url) as client:
        await until(lambda: made.inside)
        (socket,) = made.inside
        uses: list[Callable[[], Awaitable[None]]] = [
            partial(client.send_str, "x"),
            partial(socket.send_str, "x"),
            partial(socket.send_bytes, b"x"),
            partial(socket.send_json, "x"),
        ]
        for use in uses:
            before = socket.active_at
            await use()
            await until(partial(was_used_after, socket, before))
        before = socket.active_at
        assert await socket.tell('{"type":"advice"}')
        assert socket.active_at == before
        received = [(await client.receive(timeout=5)).data for _ in range(4)]
        assert received == ["x", b"x", '"x"', '{"type":"advice"}']


async def test_who_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "AT_ONCE", 2)
    async with quay() as (made, url, session), stuck(made, url):
        others = [await session.ws_connect(url) for _ in range(4)]
        await until(lambda: len(made.inside) == len(others) + 1)
        async with asyncio.timeout(5):
            await tell_all(made.inside, "x" * 200)
        for other in others:
            assert await other.receive_str(timeout=5) == "x" * 200
            await other.close()


async def test_the_gone_are_not_told() -> None:
    async with quay() as (made, url, session):
        async with session.ws_connect(url):
            await until(lambda: made.inside)
        await until(lambda: made.inside[0].closed)
        assert not await made.inside[0].tell("x")


async def test_parting_says_why() -> None:
    async with quay() as (made, url, session), session.ws_connect(url) as client:
        await until(lambda: made.inside)
        parting = asyncio.gather(made.inside[0].part(1012, "restart"))
        message = await client.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1012, "restart")
        await parting


async def test_who_parts_twice_waits_for_the_first_time() -> None:
    async with quay() as (made, url, session), session.ws_connect(url) as client:
        await until(lambda: made.inside)
        partings = asyncio.gather(made.inside[0].part(1012), made.inside[0].part(1000))
        assert (await client.receive(timeout=5)).data == 1012
        await partings
        await until(lambda: client.closed)
        assert client.close_code == 1012  # it could answer before the connection ended


async def test_parting_from_who_never_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "CLOSE_WAIT_S", 0.1)
    async with quay() as (made, url, _), stuck(made, url) as socket:
        async with asyncio.timeout(5):
            await socket.part(1012)
        assert socket.closed


async def test_before_the_handshake_there_is_nothing_to_end() -> None:
    ClientSocket().abort()
