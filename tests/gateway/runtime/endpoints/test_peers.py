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
    request,
    settings_of,
    unsent_request,
    until_idle,
    wire,
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
                reply = await _asked(peers, "auth")
                assert json.loads(reply.body)["instance"]["url"] == there.url


async def test_the_answer_names_others_for_when_that_one_fails() -> None:
    async with gateway(*(instance_at(port, str(port)) for port in (9101, 9102, 9103))) as running:
        told = (await ask(running.port, "GET", _asking("auth"))).json()
        assert list(told) == ["instance", "alternates", "ttl_s"]
        urls = {told["instance"]["url"], *(other["url"] for other in told["alternates"])}
        assert urls == {f"http://127.0.0.1:{port}" for port in (9101, 9102, 9103)}
        assert len(told["alternates"]) == 2


async def test_an_only_instance_has_no_alternates() -> None:
    async with gateway(instance_at(9101, "a")) as running:
        assert (await ask(running.port, "GET", _asking("auth"))).json()["alternates"] == []


async def test_who_was_tried_is_handed_out_no_more() -> None:
    """By id and by URL, and neither as an alternate."""
    three = [instance_at(port, str(port)) for port in (9101, 9102, 9103)]
    async with gateway(*three) as running:
        first = (await ask(running.port, "GET", _asking("auth"))).json()["instance"]
        second = (await ask(running.port, "GET", f"{_asking('auth')}&exclude={first['id']}")).json()
        assert second["instance"]["url"] != first["url"]
        assert first not in second["alternates"]
        both = f"{_asking('auth')}&exclude={first['url']},{second['instance']['url']}"
        third = (await ask(running.port, "GET", both)).json()
        assert len({first["url"], second["instance"]["url"], third["instance"]["url"]}) == 3
        assert third["alternates"] == []
        nobody = await ask(running.port, "GET", f"{both}&exclude={third['instance']['id']}")
        assert (nobody.status, nobody.json()["reason"]) == (503, "all_tried")


async def test_a_caller_that_knows_who_is_there_is_handed_nobody() -> None:
    async with gateway(instance_at(9101, "a"), instance_at(9102, "b")) as running:
        first = await ask(running.port, "GET", _asking("auth"))
        tag = first.one("ETag")
        assert (await ask(running.port, "GET", _asking("auth"))).one("ETag") == tag
        handed_out = await in_flight(running.port)
        unchanged = await ask(running.port, "GET", _asking("auth"), f"If-None-Match: {tag}")
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert unchanged.one("ETag") == tag
        assert unchanged.one("X-Quaymaster-Index") == first.one("X-Quaymaster-Index")
        assert await in_flight(running.port) == handed_out
        other = await ask(running.port, "GET", _asking("auth"), 'If-None-Match: "other"')
        assert other.status == 200


async def test_a_connection_goes_on_after_a_304() -> None:
    async with gateway(instance_at(9101, "a")) as running, wire(running.port) as client:
        await client.say(request("GET", _asking("auth"), "If-None-Match: *"))
        assert (await client.answer()).status == 304
        await client.say(request("GET", _asking("auth")))
        assert (await client.answer()).status == 200


async def test_who_wants_another_one_gets_it_whatever_it_knows() -> None:
    async with gateway(instance_at(9101, "a"), instance_at(9102, "b")) as running:
        first = await ask(running.port, "GET", _asking("auth"))
        other = f"{_asking('auth')}&exclude={first.json()['instance']['id']}"
        assert (await ask(running.port, "GET", other, "If-None-Match: *")).status == 200


async def test_what_is_told_of_others_follows_the_registry() -> None:
    """Tag, index and alternates, although the chosen instance is the same."""
    told, name = ToldWatch(), ServiceName("auth")
    async with Watcher(told) as watcher:
        watcher.pin(name)
        balancer = Balancer(watcher.current, PooledUpstream(), policies={}, rng=Random(7))
        peers = PeerEndpoint(balancer, watcher, handout_ttl_s=10.0)
        here, there = (replace(instance_at(port, str(port)), service=name) for port in (9101, 9102))
        seen = []
        for update in ((here,), (here, there), (here, replace(there, weight=0))):
            told.say(name, Seen(update))
            await eventually(partial(_is_known, watcher, *update))
            reply = await _asked(peers, "auth&exclude=9102")
            plain = await _asked(peers, "auth")
            headers = dict(plain.headers)
            assert dict(reply.headers)["ETag"] == headers["ETag"]
            seen.append(
                (headers["ETag"], headers["X-Quaymaster-Index"], json.loads(plain.body)["alternates"])
            )
        alone, together, drained = seen
        assert alone[0] != together[0] != drained[0]
        assert len({alone[1], together[1], drained[1]}) == 3
        assert (alone[2], len(together[2]), drained[2]) == ([], 1, [])


async def _asked(peers: PeerEndpoint, question: str) -> Reply:
    reply = await peers.answer(
        exchange_for(unsent_request("GET", f"/get_service_instance?service_name={question}"))
    )
    assert isinstance(reply, Reply)
    return reply


async def _is_known(watcher: Watcher, *there: Instance) -> bool:
    return watcher.current(there[0].service).usable == there


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
