"""WebSockets through a real gateway, between aiohttp's client and aiohttp's server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from multidict import CIMultiDictProxy

from registry.model import Instance
from tests.balancer.origins import Connection, answers, instance_at, origin, until
from tests.gateway.runtime.gateways import ask, gateway, in_flight, request, until_idle, wire
from tests.gateway.runtime.scrapes import scrape

ROUTES: list[dict[str, Any]] = [{"path": "/ws/*", "service": "auth", "access": "public"}]


ENDED = (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)


class Chat:
    """An instance that echoes, and remembers how each of its WebSockets ended."""

    def __init__(self) -> None:
        self.closed_with: list[int | None] = []
        self.heads: list[CIMultiDictProxy[str]] = []

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        self.heads.append(request.headers)
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                else:
                    await socket.send_bytes(message.data)
        finally:
            self.closed_with.append(socket.close_code)
        return socket


@asynccontextmanager
async def chatting(chat: Chat) -> AsyncIterator[Instance]:
    app = web.Application()
    app.router.add_get("/ws/room", chat.talk)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield instance_at(runner.addresses[0][1], "chat-1")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"http://127.0.0.1:{port}/ws/room"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=("chat",)) as socket:
        yield socket


async def test_messages_go_both_ways_and_the_close_code_comes_through() -> None:
    chat = Chat()
    async with chatting(chat) as there, gateway(there, routes=ROUTES) as running:
        async with connected(running.port) as socket:
            assert socket.protocol == "chat"
            for message in ("hello", "é" * 1000, "x" * 300_000):
                await socket.send_str(message)
                assert await socket.receive_str(timeout=5) == message
            await socket.send_bytes(b"\x00\xff")
            assert await socket.receive_bytes(timeout=5) == b"\x00\xff"
            assert await in_flight(running.port) == 1
            await socket.close(code=4001)
        await until_idle(running.port)
        await until(lambda: chat.closed_with == [4001])
        assert "X-Request-Id" in chat.heads[0]


async def test_a_client_that_vanishes_frees_its_instance() -> None:
    chat = Chat()
    async with chatting(chat) as there, gateway(there, routes=ROUTES) as running:
        async with connected(running.port) as socket:
            await socket.send_str("here")
            await socket.receive_str(timeout=5)
            assert socket._conn is not None
            assert socket._conn.transport is not None
            socket._conn.transport.abort()
        await until_idle(running.port)
        await until(lambda: chat.closed_with)


@pytest.mark.parametrize("vanishes", [False, True])
async def test_a_websocket_was_answered_with_101_however_it_ends(vanishes: bool) -> None:
    """And how long it was open is nobody's wait: it would drown the histograms."""
    chat = Chat()
    async with chatting(chat) as there, gateway(there, routes=ROUTES) as running:
        async with connected(running.port) as socket:
            await socket.send_str("here")
            await socket.receive_str(timeout=5)
            if vanishes:
                assert socket._conn is not None
                assert socket._conn.transport is not None
                socket._conn.transport.abort()
        await until_idle(running.port)
        counted = await scrape(running.port)
        requests = {key: n for key, n in counted.items() if key.startswith("quaymaster_requests_total{")}
        assert requests['quaymaster_requests_total{code="101",method="GET",route="/ws/*"}'] == 1
        assert 'quaymaster_request_duration_seconds_count{route="/ws/*"}' not in counted


async def test_an_instance_that_dies_ends_its_clients() -> None:
    async def dies(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        await connection.origin.go.wait()
        connection.reset()

    async with (
        origin(dies) as there,
        gateway(there.instance, routes=ROUTES) as running,
        wire(running.port) as client,
    ):
        await client.say(request("GET", "/ws/x", "Connection: Upgrade", "Upgrade: websocket"))
        _, status, headers = await client.head()
        assert status == 101
        assert {"Connection": "Upgrade", "Upgrade": "websocket"}.items() <= dict(headers).items()
        assert await client.reader.readexactly(5) == b"first"
        there.go.set()
        assert await client.rest() == b""
        await until_idle(running.port)


async def test_what_follows_the_head_at_once_is_not_lost() -> None:
    async def echoes(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        await connection.say(await connection.reader.readexactly(5))
        await connection.reader.read()

    async with (
        origin(echoes) as there,
        gateway(there.instance, routes=ROUTES) as running,
        wire(running.port) as client,
    ):
        await client.say(request("GET", "/ws/x", "Connection: Upgrade", "Upgrade: websocket") + b"early")
        await client.head()
        assert await client.reader.readexactly(5) == b"early"


async def test_an_instance_that_declines_is_heard_and_the_connection_stays_http() -> None:
    async with (
        origin(answers(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")) as there,
        gateway(there.instance, routes=ROUTES) as running,
        wire(running.port) as client,
    ):
        for _ in range(2):
            await client.say(request("GET", "/ws/x", "Connection: Upgrade", "Upgrade: websocket"))
            answer = await client.answer()
            assert (answer.status, answer.body) == (403, b"no")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", ("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0")),
        ("GET", ("Connection: Upgrade", "Upgrade: h2c")),
        ("GET", ("Upgrade: websocket",)),
    ],
)
async def test_nothing_else_is_asked_of_an_instance(method: str, headers: tuple[str, ...]) -> None:
    async with (
        origin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as there,
        gateway(there.instance, routes=ROUTES) as running,
    ):
        assert (await ask(running.port, method, "/ws/x", *headers)).status == 200
        assert b"pgrade" not in there.heads[0]


async def test_a_tunnel_in_which_nothing_moves_is_closed() -> None:
    chat = Chat()
    async with (
        chatting(chat) as there,
        gateway(there, routes=[ROUTES[0] | {"timeouts": {"tunnel_idle_s": 0.1}}]) as running,
    ):
        async with connected(running.port) as socket:
            assert (await socket.receive(timeout=5)).type in (
                WSMsgType.CLOSED,
                WSMsgType.CLOSE,
                WSMsgType.ERROR,
            )
        await until_idle(running.port)


async def test_a_gateway_that_stops_ends_its_tunnels() -> None:
    chat = Chat()
    async with chatting(chat) as there:
        async with gateway(there, routes=ROUTES, listen={"port": 0, "shutdown_timeout_s": 0.2}) as running:
            session = aiohttp.ClientSession()
            socket = await session.ws_connect(f"http://127.0.0.1:{running.port}/ws/room")
            await socket.send_str("here")
            await socket.receive_str(timeout=5)
        async with asyncio.timeout(5):
            await socket.receive()
        await session.close()
        await until(lambda: chat.closed_with)
