"""A gateway and handlers for chat clients to talk to, over real sockets, with faults on demand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

SESSION = "0123456789abcdef0123456789abcdef"
AT_ONCE = {"first_ms": [0, 0], "base_ms": 1, "cap_ms": 5}


class Pier:
    """One handler. `refuses` closes newcomers with a code, `never_welcomes` says nothing to them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.refuses: int | None = None
        self.never_welcomes = False
        self.sockets: list[web.WebSocketResponse] = []
        self.transports: list[asyncio.Transport] = []
        self.heard: list[str] = []
        self.came_with: list[tuple[str, str | None]] = []
        """The offered subprotocols and `seq` of each newcomer."""
        self.closed_with: list[int | None] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        self.came_with.append((offered, request.query.get("seq")))
        socket = web.WebSocketResponse(protocols=("wst.v1",), timeout=1)
        await socket.prepare(request)
        if self.refuses is not None:
            await socket.close(code=self.refuses)
            return socket
        assert request.transport is not None
        self.transports.append(request.transport)
        self.sockets.append(socket)
        if not self.never_welcomes:
            await socket.send_json({"type": "welcome", "handler_id": self.name, "session_id": SESSION})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.heard.append(message.data)
        self.sockets.remove(socket)
        self.transports.remove(request.transport)
        self.closed_with.append(socket.close_code)
        return socket

    async def say(self, *frames: dict[str, Any]) -> None:
        """To everybody who is here."""
        for socket in list(self.sockets):
            for frame in frames:
                await socket.send_json(frame)

    async def close(self, code: int) -> None:
        for socket in list(self.sockets):
            await socket.close(code=code)

    def die(self) -> None:
        """As a process that is killed: no close frame."""
        for transport in self.transports:
            transport.abort()


class Harbourmaster:
    """A gateway that sends clients to the first pier they don't exclude, after what is in `script`."""

    def __init__(self, *piers: Pier) -> None:
        self.piers = {pier.name: pier for pier in piers}
        self.script: deque[tuple[int, dict[str, Any], dict[str, str]]] = deque()
        self.asked: list[dict[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.reconnect = AT_ONCE
        self.tickets = True
        self.url = ""
        self.tokens: set[str] = set()
        """The good ones; empty: any."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/get_websocket_handler", self._allocate)
        return app

    async def _allocate(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.headers))
        self.queries.append(dict(request.query))
        if self.tokens and request.headers["token"] not in self.tokens:
            return web.json_response({"message": "bad token"}, status=401)
        if self.script:
            status, body, headers = self.script.popleft()
            return web.json_response(body, status=status, headers=headers)
        excluded = request.headers.get("X-Exclude-Handler", "").split(", ")
        free = [pier for pier in self.piers.values() if pier.name not in excluded]
        return web.json_response(self.grant(free[0])) if free else web.json_response({}, status=503)

    def grant(self, pier: Pier) -> dict[str, Any]:
        body: dict[str, Any] = {"websocket_handler_url": pier.url, "handler_id": pier.name}
        if self.tickets:
            body |= {
                "websocket_url": f"ws{pier.url[4:]}/ws",
                "ticket": f"t{len(self.asked)}",
                "session_id": SESSION,
                "reconnect": self.reconnect,
            }
        return body


def migrate(pier: Pier, **changes: Any) -> dict[str, Any]:
    """The frame that moves a client to `pier`."""
    url = f"ws{pier.url[4:]}/ws"
    frame = {"type": "migrate", "url": url, "ticket": "moved", "handler_id": pier.name, "deadline_ms": 30_000}
    return frame | changes


@asynccontextmanager
async def harbourmaster(count: int = 2) -> AsyncIterator[Harbourmaster]:
    """A gateway with so many handlers, named WSH1 and on."""
    async with AsyncExitStack() as stack:
        piers = [Pier(f"WSH{number + 1}") for number in range(count)]
        made = Harbourmaster(*piers)
        places: list[Harbourmaster | Pier] = [made, *piers]
        for place in places:
            server = TestServer(place.app(), shutdown_timeout=0.1)
            await stack.enter_async_context(server)
            place.url = str(server.make_url("")).rstrip("/")
        yield made
