"""Gateways with pools of handlers, and what clients and handler processes ask of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.runtime.app import Gateway
from tests.gateway.runtime.gateways import RawAnswer, ask, eventually, gateway, post_json, token
from tests.gateway.runtime.scrapes import scrape

HELLO: dict[str, Any] = {"handler_id": "WSH1", "epoch": 7, "url": "http://localhost:8001", "capacity": 10}
REPORT: dict[str, Any] = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 0}


@asynccontextmanager
async def running_pool(*hellos: dict[str, Any], **handlers: Any) -> AsyncIterator[Gateway]:
    """A gateway with a pool that only these handlers are in."""
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    settings = {"registry": registry, "handlers": {"dead_after_s": 30, **handlers}}
    async with gateway(**settings) as running:
        for hello in hellos:
            assert (await post_json(running.port, "/handlers/register", hello)).status == 200
        yield running


@asynccontextmanager
async def pool(*hellos: dict[str, Any], **handlers: Any) -> AsyncIterator[int]:
    """The same; yields its port."""
    async with running_pool(*hellos, **handlers) as running:
        yield running.port


@asynccontextmanager
async def two_pools(**handlers: Any) -> AsyncIterator[int]:
    """The pools `chat` and `feed`, with the handlers `chat-1` and `feed-1`; yields the gateway's port."""
    pools = {"chat": {"service": "chat-ws"}, "feed": {"service": "feed-ws"}}
    hellos = [HELLO | {"pool": name, "handler_id": f"{name}-1"} for name in pools]
    async with pool(*hellos, pools=pools, **handlers) as port:
        yield port


async def seat(port: int, *headers: str, uid: str = "ada", path: str = "/get_websocket_handler") -> RawAnswer:
    return await ask(port, "GET", path, f"token: {token(uid)}", f"uid: {uid}", *headers)


async def held(port: int) -> dict[str, int]:
    detailed = (await ask(port, "GET", "/health/detailed")).json()
    return {handler["id"]: handler["held"] for handler in detailed["handlers"]}


async def waiting(port: int, count: int) -> None:
    """Returns once so many requests wait."""

    async def as_many() -> bool:
        return (await scrape(port))["quaymaster_requests_waiting"] == count

    await eventually(as_many)
