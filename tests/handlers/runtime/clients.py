"""Chat clients over real sockets, and a handler process to connect to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import BaseTestServer, TestServer

from handlers.runtime.node import HandlerNode
from tests.handlers.runtime.gateways import Gateway, until


async def echo(node: HandlerNode, request: web.Request) -> web.StreamResponse:
    """What a user of the SDK writes: answers each text with the user's id before it."""
    async with node.session(request) as session:
        async for message in session.socket:
            if message.data == "break":
                raise RuntimeError("a bug in the user's own code")
            await session.socket.send_str(f"{session.uid}: {message.data}")
    return session.socket


class Harbour:
    """A running handler process and a client session."""

    def __init__(self, node: HandlerNode, server: BaseTestServer, session: ClientSession) -> None:
        self.node = node
        self.url = str(server.make_url("/ws"))
        self.session = session
        self.stop = server.close

    async def connect(self, ticket: str | None, **more: Any) -> ClientWebSocketResponse:
        protocols = () if ticket is None else ("wst.v1", f"wst.{ticket}")
        socket: ClientWebSocketResponse = await self.session.ws_connect(self.url, protocols=protocols, **more)
        return socket

    async def verdict(self, ticket: str | None, **more: Any) -> int | str:
        """The close code the client gets, or the type of the first frame."""
        async with await self.connect(ticket, **more) as socket:
            return await first(socket)


async def first(socket: ClientWebSocketResponse) -> int | str:
    """The type of the next frame, or the code of the close frame that came instead."""
    message = await socket.receive(timeout=5)
    if message.type is WSMsgType.TEXT:
        return str(message.json()["type"])
    if message.type is WSMsgType.CLOSE:
        return int(message.data)
    assert socket.close_code is not None
    return socket.close_code


@asynccontextmanager
async def harbour(gateway: Gateway, *, ready: bool = True, **settings: Any) -> AsyncIterator[Harbour]:
    """A handler process with an echo endpoint, introduced to `gateway` if it is to be `ready`."""
    wanted: dict[str, Any] = {
        "handler_id": "WSH1",
        "gateways": [gateway.url],
        "public_url": "http://127.0.0.1:8001",
        "capacity": 100,
        "consul": None,
        "drain_s": 0.5,
        "leave_s": 0.1,
    }
    node = HandlerNode(**(wanted | settings))

    async def endpoint(request: web.Request) -> web.StreamResponse:
        return await echo(node, request)

    app = web.Application()
    app.router.add_get("/ws", endpoint)
    node.attach(app)
    async with TestServer(app, shutdown_timeout=1) as server, ClientSession() as session:
        if ready:
            await until(lambda: node.ready)
            await until(lambda: gateway.of("/handlers/report"))
        yield Harbour(node, server, session)
