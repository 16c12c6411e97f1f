"""`/get_service_instance`, as microservices ask it."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.runtime.app import Gateway
from gateway.runtime.endpoints.peers import PeerEndpoint
from gateway.runtime.reply import Reply
from registry.model import Instance, Seen, ServiceName
from registry.runtime.watcher import Watcher
from tests.balancer.origins import instance_at
from tests.gateway.runtime.consuls import deregister, passes, register_in
from tests.gateway.runtime.gateways import (
    ask,
    eventually,
    exchange_for,
    gateway,
    in_flight,
    settings_of,
    unsent_request,
    until_idle,
)
from tests.registry.told_watch import ToldWatch
from tests.servers import ConsulAgent


async def instance_of(port: int, service: str) -> str:
    answer = await ask(port, "GET", f"/get_service_instance?service_name={service}")
    assert answer.status == 200, answer
    url: str = answer.json()["instance"]["url"]
    return url


async def test_the_answer_holds_the_url_of_a_peer() -> None:
    async with gateway(instance_at(9101, "a")) as running:
        answer = await ask(running.port, "GET", "/get_service_instance?service_name=auth")
        assert answer.status == 200
        assert answer.json()["instance"]["url"] == "http://127.0.0.1:9101"
        assert answer.one("Content-Type") == "application/json; charset=utf-8"
        assert answer.one("Cache-Control") == "no-store"


async def test_a_peer_that_has_moved_is_answered_where_it_is_now() -> None:
    """The same process by its own word, at another port."""
    told, name = ToldWatch(), ServiceName("auth")
    async with Watcher(told) as watcher:
        watcher.pin(name)
        balancer = Balancer(watcher.current, PooledUpstream(), policies={}, rng=Random(7))
        peers = PeerEndpoint(balancer, watcher, handout_ttl_s=10.0)
        for port in (9101, 9102):
            there = replace(instance_at(port, "a"), service=name, incarnation="1")
            told.say(name, Seen((there,)))
            await eventually(partial(_is_known, watcher, there))
            for _ in range(2):
                reply = await peers.answer(
                    exchange_for(unsent_request("GET", "/get_service_instance?service_name=auth"))
                )
                assert isinstance(reply, Reply)
                assert json.loads(reply.body)["instance"]["url"] == there.url


async def _is_known(watcher: Watcher, there: Instance) -> bool:
    return watcher.current(there.service).usable == (there,)


async def test_hand_outs_spread_over_the_least_used_until_their_time_is_over() -> None:
    three = [instance_at(port, str(port)) for port in (9101, 9102, 9103)]
    async with gateway(*three) as running:
        urls = await asyncio.gather(*(instance_of(running.port, "auth") for _ in range(9)))
        assert Counter(urls) == {f"http://127.0.0.1:{port}": 3 for port in (9101, 9102, 9103)}


async def test_a_hand_out_stops_counting_after_its_time() -> None:
    async with gateway(instance_at(9101, "a"), handout_ttl_s=0.3) as running:
        await instance_of(running.port, "auth")
        assert await in_flight(running.port) == 1
        await until_idle(running.port)


@pytest.mark.parametrize("query", ["", "?service_name=", "?service=auth", "?SERVICE_NAME=auth"])
async def test_a_missing_name_is_a_400_that_says_how_to_ask(query: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", f"/get_service_instance{query}")
        assert (answer.status, answer.json()["reason"]) == (400, "missing_parameter")
        assert "?service_name=NAME" in answer.json()["message"]


@pytest.mark.parametrize(
    "name",
    [
        "../../kv/secret",
        "..%2F..%2Fkv%2Fsecret",
        "%2e%2e%2f%2e%2e%2fkv%2fsecret",
        "%252e%252e%252fkv",
        "auth%00",
        "auth%0d%0aX-Consul-Token:%20x",
        "auth%3Fdc=other",
        "auth%23",
        "auth+",
        "%20auth",
        ".auth",
        "a%2Fb",
        "%C3%A9",
        "%E2%80%AE",
        "a" * 129,
    ],
)
async def test_a_name_that_could_leave_its_place_in_a_url_is_refused(name: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", f"/get_service_instance?service_name={name}")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter"), answer
        assert "secret" not in answer.body.decode()


async def test_a_service_that_nobody_knows_is_a_404() -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", "/get_service_instance?service_name=nobody")
        assert (answer.status, answer.json()["reason"]) == (404, "unknown_service")


async def test_a_service_of_sick_instances_is_a_503_and_a_healthy_one_is_found_in_real_consul(
    consul: ConsulAgent,
) -> None:
    name = "peers-sick"
    registry = {"backend": "consul", "address": consul.address, "register_as": None}
    async with Gateway(settings_of(registry=registry)) as running:
        await register_in(consul, name, 9101, healthy=False)
        try:
            # Until the watch of the names has heard of it, it is unknown.
            await eventually(lambda: answers(running.port, name, 503))
            sick = await ask(running.port, "GET", _asking(name))
            assert sick.json()["reason"] == "no_healthy_instance"
            assert int(sick.one("Retry-After")) >= 1
            await passes(consul, f"{name}-9101")
            await eventually(lambda: answers(running.port, name, 200))
            assert await instance_of(running.port, name) == "http://127.0.0.1:9101"
        finally:
            await deregister(consul, f"{name}-9101")


async def answers(port: int, name: str, status: int) -> bool:
    return (await ask(port, "GET", _asking(name))).status == status


def _asking(name: str) -> str:
    return f"/get_service_instance?service_name={name}"


async def test_before_the_registry_has_answered_nothing_is_called_unknown() -> None:
    """Nobody listens at that address: 503, which means ask again, and not 404, which means give up."""
    registry = {"backend": "consul", "address": "127.0.0.1:1", "register_as": None}
    async with Gateway(settings_of(registry=registry)) as running:
        answer = await ask(running.port, "GET", "/get_service_instance?service_name=anything")
        assert (answer.status, answer.json()["reason"]) == (503, "registry_unreachable")


async def test_only_get_is_answered_since_nobody_would_see_whom_a_head_was_given() -> None:
    async with gateway(instance_at(9101, "a")) as running:
        answer = await ask(running.port, "POST", "/get_service_instance?service_name=auth")
        assert (answer.status, answer.one("Allow")) == (405, "GET")
        head = await ask(running.port, "HEAD", "/get_service_instance?service_name=auth")
        assert (head.status, head.body) == (405, b"")
