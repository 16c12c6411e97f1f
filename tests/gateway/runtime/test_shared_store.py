"""Several gateways on one Redis: to clients and handlers they are one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.gateway.runtime.gateways import RawAnswer, ask, eventually, gateway, post_json, token
from tests.servers import RedisServer, forget_all, hasty, own_redis, patient

HANDLERS = ("WSH1", "WSH2")


@pytest.fixture
def url(redis_url: str) -> str:
    forget_all(redis_url)
    return patient(redis_url)


@asynccontextmanager
async def gateways(url: str, count: int = 2, **sections: Any) -> AsyncIterator[list[int]]:
    """So many gateways with one store; yields their ports."""
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    handlers = {"dead_after_s": 30, "secret": "the secret that all gateways of the tests have"}
    store = {"backend": "redis", "url": url}
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                gateway(registry=registry, handlers=handlers, store=store, **sections)
            )
            for _ in range(count)
        ]
        yield [one.port for one in running]


async def say_hello(port: int, capacity: int = 3) -> None:
    for name in HANDLERS:
        hello = {"handler_id": name, "epoch": 7, "url": f"http://{name}:8001", "capacity": capacity}
        assert (await post_json(port, "/handlers/register", hello)).status == 200


async def seat(port: int, uid: str) -> RawAnswer:
    return await ask(port, "GET", "/get_websocket_handler", f"token: {token(uid)}", f"uid: {uid}")


async def held(port: int) -> dict[str, int]:
    detailed = (await ask(port, "GET", "/health/detailed")).json()
    return {handler["id"]: handler["held"] for handler in detailed["handlers"]}


async def test_any_gateway_hands_out_seats_of_handlers_that_report_to_another(url: str) -> None:
    async with gateways(url) as (one, other):
        await say_hello(one)
        given = await asyncio.gather(*(seat((one, other)[n % 2], f"user-{n}") for n in range(8)))
        assert Counter(answer.status for answer in given) == {200: 6, 503: 2}
        assert await held(one) == await held(other) == {"WSH1": 3, "WSH2": 3}
        report = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 0}
        assert (await post_json(other, "/handlers/report", report)).status == 200


async def test_what_a_gateway_has_promised_outlives_it(url: str) -> None:
    async with gateways(url, count=1) as (staying,):
        async with gateways(url, count=1) as (leaving,):
            await say_hello(leaving)
            for n in range(4):
                assert (await seat(leaving, f"user-{n}")).status == 200
        assert await held(staying) == {"WSH1": 2, "WSH2": 2}
        located = await ask(staying, "GET", "/handlers/locate?uid=user-0")
        assert located.json()["handler_id"] in HANDLERS


async def test_a_rate_limit_counts_what_a_client_asks_of_all_gateways(url: str) -> None:
    async with gateways(url, limits={"per_user": 4}) as (one, other):
        await say_hello(one, capacity=10)
        given = await asyncio.gather(*(seat((one, other)[n % 2], "ann") for n in range(7)))
        assert Counter(answer.status for answer in given) == {200: 4, 429: 3}


@pytest.fixture
def own() -> Iterator[RedisServer]:
    with own_redis() as server:
        yield server


async def mode(port: int) -> str:
    detailed = (await ask(port, "GET", "/health/detailed")).json()
    return str(detailed["pools"]["default"]["mode"])


async def test_while_redis_hangs_each_gateway_hands_out_seats_by_itself(own: RedisServer) -> None:
    async with gateways(hasty(own.url), count=1) as (port,):
        await say_hello(port)
        assert await mode(port) == "exact"
        own.pause()
        given = [await seat(port, f"user-{n}") for n in range(4)]
        assert {answer.status for answer in given} == {200}
        assert await mode(port) == "degraded"
        assert sum((await held(port)).values()) == 4, "this gateway's own view is shown"
        assert "quaymaster_handler_connections{" in (await ask(port, "GET", "/metrics")).body.decode()
        for path in ("/health/live", "/health/ready", "/ping"):
            assert (await ask(port, "GET", path)).status == 200
        own.resume()

        async def is_exact_again() -> bool:
            return await mode(port) == "exact"

        await eventually(is_exact_again)
        assert (await seat(port, "bob")).status == 200


async def test_a_gateway_starts_while_redis_is_away(own: RedisServer) -> None:
    own.stop()
    async with gateways(hasty(own.url), count=1) as (port,):
        assert (await seat(port, "ann")).json()["reason"] == "no_handlers"
        await say_hello(port)
        assert (await seat(port, "ann")).status == 200
        own.start()

        async def is_exact() -> bool:
            await say_hello(port)
            return await mode(port) == "exact"

        await eventually(is_exact)
        assert (await seat(port, "ann")).status == 200
