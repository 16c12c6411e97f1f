"""Connections that begin with a header of the PROXY protocol, on real sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from gateway.runtime.app import Gateway
from gateway.runtime.client_request import ClientRequest
from tests.balancer.origins import counts_requests, origin, until
from tests.gateway.runtime.gateways import (
    Wire,
    eventually,
    refused,
    request,
    said,
    send_text,
    server_of,
    serving,
    settings_of,
    wire,
)
from tests.gateway.test_proxy_protocol import HEADERS, version_1, version_2

HERE: dict[str, Any] = {"trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": True}
ELSEWHERE: dict[str, Any] = {"trusted_proxies": ["10.0.0.0/8"], "proxy_protocol": True}
LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)


async def says_the_peer(raw: ClientRequest) -> None:
    send_text(raw, raw.peer)


async def peer_of(client: Wire, header: bytes) -> bytes:
    await client.say(header, request("GET", "/"))
    return (await client.answer()).body


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_the_proxy_says_whose_connection_it_is(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def work() -> None:
        async with serving(says_the_peer, **HERE) as port:
            for header, source in HEADERS:
                async with wire(port) as client:
                    assert await peer_of(client, header) == (source or "127.0.0.1").encode()
                    assert await peer_of(client, b"") == (source or "127.0.0.1").encode(), "once is enough"

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work())


async def test_it_may_come_in_pieces_and_with_the_request_behind_it() -> None:
    for header in (version_1("192.0.2.7"), version_2("2001:db8::7", b"\x04\x00\x01x")):
        whole = header + request("GET", "/")
        for size in (1, 7, len(header) - 1, len(header), len(header) + 1):
            async with serving(says_the_peer, **HERE) as port, wire(port) as client:
                for start in range(0, len(whole), size):
                    await client.say(whole[start : start + size])
                    # The next piece is a read of its own.
                    await asyncio.sleep(0)
                assert (await client.answer()).body in (b"192.0.2.7", b"2001:db8::7")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 x\r\n", b"\x16\x03\x01", b"x"]
)
async def test_a_proxy_that_says_nothing_of_the_kind_gets_no_word(data: bytes) -> None:
    async with server_of(says_the_peer, refused, **HERE) as (server, port), wire(port) as client:
        await client.say(data)
        assert await client.rest() == b""
        await until(lambda: not server.preambles)
        assert server.connections == []


async def test_nobody_else_is_believed() -> None:
    """Whoever is no trusted proxy speaks HTTP from the first byte on; such a header is none."""
    async with serving(says_the_peer, refused, **ELSEWHERE) as port:
        async with wire(port) as client:
            assert await peer_of(client, b"") == b"127.0.0.1"
        async with wire(port) as client:
            await client.say(version_1("10.0.0.1"), request("GET", "/"))
            assert (await client.answer()).status == 400


async def test_a_proxy_that_does_not_go_on_is_not_waited_for() -> None:
    async with server_of(says_the_peer, refused, **HERE, header_s=0.05) as (server, port):
        for begin in (b"", b"PROXY TCP4 192.0.2.7"):
            async with wire(port) as client:
                await client.say(begin)
                assert await client.rest() == b""
        await until(lambda: not server.preambles)


async def test_a_proxy_that_goes_away_is_forgotten() -> None:
    async with server_of(says_the_peer, refused, **HERE) as (server, port):
        async with wire(port) as client:
            await client.say(b"PROXY ")
            await until(lambda: len(server.preambles) == 1)
        await until(lambda: not server.preambles)


async def test_those_that_wait_count_as_connections_and_end_with_the_server() -> None:
    async with server_of(says_the_peer, refused, **HERE, max_connections=2) as (server, port):
        async with wire(port) as one, wire(port) as other:
            await until(lambda: len(server.preambles) == 2)
            assert server.is_full
            async with wire(port) as third:
                assert await third.rest() == refused("overloaded")
            server.pre_shutdown()
            await server.shutdown(0.1)
            assert (await one.rest(), await other.rest()) == (b"", b"")
        assert server.preambles == set()


async def test_limits_count_the_client_and_instances_are_told_of_it() -> None:
    async with origin(counts_requests) as there:
        settings = settings_of(there.instance, listen={"port": 0, **HERE}, limits={"per_address": 1})
        async with Gateway(settings) as running:

            async def ask_for(source: str, path: str) -> int:
                async with wire(running.port) as client:
                    await client.say(version_1(source), request("GET", path))
                    return (await client.answer()).status

            async def is_ready() -> bool:
                return await ask_for("127.0.0.1", "/health/ready") == 200

            await eventually(is_ready)
            got = [await ask_for(f"192.0.2.{n}", "/open/x") for n in (7, 8, 7)]
        assert got == [200, 200, 429]
        assert said(there.heads[0], "X-Forwarded-For") == ["192.0.2.7"]
