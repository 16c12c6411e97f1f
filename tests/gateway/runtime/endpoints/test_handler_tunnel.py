"""The way to one handler through the gateway, where clients can't reach it themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from gateway.runtime.endpoints.handler_tunnel import tunnel_url
from handlers.runtime.node import HandlerNode
from tests.gateway.runtime.gateways import ask, eventually, gateway, token
from tests.handlers.runtime.clients import echo
from tests.servers import free_ports


@asynccontextmanager
async def handler(name: str, gateway_port: int, agent_port: int) -> AsyncIterator[list[str]]:
    """A handler process whose public URL leads nowhere; yields what it is asked for."""
    asked: list[str] = []
    (port,) = free_ports(1)
    node = HandlerNode(
        handler_id=name,
        gateways=[f"http://127.0.0.1:{gateway_port}"],
        public_url="http://unreachable.example:1",
        capacity=10,
        consul=f"127.0.0.1:{agent_port}",
        address_in_registry="127.0.0.1",
        port=port,
        leave_s=0.1,
    )

    async def endpoint(request: web.Request) -> web.StreamResponse:
        asked.append(request.raw_path)
        return await echo(node, request)

    app = web.Application()
    app.router.add_get("/ws", endpoint)
    node.attach(app)
    async with TestServer(app, host="127.0.0.1", port=port, shutdown_timeout=1):
        yield asked


@asynccontextmanager
async def harbour(**handlers: Any) -> AsyncIterator[int]:
    """A gateway that tunnels to two handlers; yields its port."""
    agent_port, port = free_ports(2)
    sections = {
        "listen": {"port": port},
        "registry": {"backend": "embedded", "address": f"127.0.0.1:{agent_port}", "register_as": None},
        "handlers": {"expose": "tunnel", **handlers},
        "services": {},
        "routes": [],
    }
    async with (
        gateway(**sections),
        handler("WSH1", port, agent_port),
        handler("WSH-2", port, agent_port),
    ):

        async def both_are_there() -> bool:
            detailed = (await ask(port, "GET", "/health/detailed")).json()
            return [handler["eligible"] for handler in detailed["handlers"]] == [True, True]

        await eventually(both_are_there)
        yield port


async def seat(port: int, uid: str) -> dict[str, Any]:
    answer = await ask(port, "GET", "/get_websocket_handler", f"token: {token(uid)}")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.json()
    return body


async def test_every_client_reaches_just_the_handler_it_was_given() -> None:
    async with harbour() as port, ClientSession() as session:
        handlers = set()
        for uid in ("ada", "bob"):
            given = await seat(port, uid)
            place = tunnel_url("//localhost", given["handler_id"])
            assert given["websocket_handler_url"] == f"http:{place}"
            assert given["websocket_url"] == f"ws:{place}"
            handlers.add(given["handler_id"])
            url = given["websocket_url"].replace("localhost", f"127.0.0.1:{port}")
            protocols = ("wst.v1", f"wst.{given['ticket']}")
            async with session.ws_connect(url, protocols=protocols) as socket:
                hello = await socket.receive_json(timeout=5)
                assert hello["handler_id"] == given["handler_id"]
                await socket.send_str("ahoy")
                assert await socket.receive_str(timeout=5) == f"{uid}: ahoy"
        assert handlers == {"WSH1", "WSH-2"}


async def test_what_a_client_adds_to_its_address_reaches_the_handler() -> None:
    agent_port, port = free_ports(2)
    sections = {
        "listen": {"port": port},
        "registry": {"backend": "embedded", "address": f"127.0.0.1:{agent_port}", "register_as": None},
        "handlers": {"expose": "tunnel", "pools": {"chat": {}}},
    }
    async with (
        gateway(**sections),
        handler("WSH1", port, agent_port) as asked,
        ClientSession() as session,
    ):

        async def is_there() -> bool:
            answer = await ask(port, "GET", "/get_websocket_handler", f"token: {token()}")
            return answer.status == 200

        await eventually(is_there)
        given = await seat(port, "ada")
        assert given["websocket_url"] == "ws://localhost/ws/chat/WSH1"
        url = f"http://127.0.0.1:{port}/ws/chat/WSH1?seq=41&x=%20"
        async with session.ws_connect(url, protocols=("wst.v1", f"wst.{given['ticket']}")) as socket:
            assert (await socket.receive_json(timeout=5))["handler_id"] == "WSH1"
        assert asked == ["/ws?seq=41&x=%20"]


async def test_the_name_that_clients_reach_the_gateways_by_may_be_set() -> None:
    async with harbour(public_url="https://chat.example.org") as port:
        given = await seat(port, "ada")
        assert given["websocket_handler_url"].startswith("https://chat.example.org/ws/WSH")
        assert given["websocket_url"].startswith("wss://chat.example.org/ws/WSH")


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "reason"),
    [
        ("GET", "/ws/WSH3", UPGRADE, 404, "unknown_handler"),
        ("GET", "/ws/", UPGRADE, 404, "unknown_handler"),
        ("GET", "/ws/WSH1/more", UPGRADE, 404, "unknown_handler"),
        ("GET", "/ws/WSH1", (), 400, "bad_parameter"),
        ("POST", "/ws/WSH1", UPGRADE, 405, "method_not_allowed"),
    ],
)
async def test_nothing_else_is_reached_that_way(
    method: str, path: str, headers: tuple[str, ...], status: int, reason: str
) -> None:
    async with harbour() as port:
        answer = await ask(port, method, path, *headers)
        assert (answer.status, answer.json()["reason"]) == (status, reason)


async def test_without_a_tunnel_there_is_no_such_place() -> None:
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    async with gateway(registry=registry, handlers={"expose": "direct"}) as running:
        answer = await ask(running.port, "GET", "/ws/WSH1", *UPGRADE)
        assert (answer.status, answer.json()["reason"]) == (404, "no_route")
