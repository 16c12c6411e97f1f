"""`/get_service_instance`, as microservices ask it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.errors import GatewayError
from gateway.runtime.app import Gateway
from gateway.runtime.endpoints.peers import KEPT_REPLIES, PeerEndpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply
from gateway.runtime.waiting_room import WaitingRoom
from registry.model import Failed, Gone, Health, Instance, Seen, ServiceName
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

AUTH = ServiceName("auth")
HERE, THERE = (replace(instance_at(port, str(port)), service=AUTH) for port in (9101, 9102))


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
        peers = PeerEndpoint(balancer, watcher, 10.0, WaitingRoom(1))
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
        lines = ('If-None-Match: "other"', f"If-None-Match: {tag}")
        assert (await ask(running.port, "GET", _asking("auth"), *lines)).status == 304


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
        peers = PeerEndpoint(balancer, watcher, 10.0, WaitingRoom(1))
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


async def test_the_index_follows_the_registry_although_the_same_instances_may_be_picked() -> None:
    """Else a caller that waits for news would be told again and again of what it knows."""
    async with waiting_room(0) as (peers, told, _, version):
        before = await _asked(peers, "auth")
        told.say(AUTH, Failed("unreachable", "nobody answers"))

        async def is_away() -> bool:
            return peers.watcher.current(AUTH).failure is not None

        await eventually(is_away)
        after = await _asked(peers, "auth")
        assert dict(before.headers)["ETag"] == dict(after.headers)["ETag"]
        assert dict(before.headers)["X-Quaymaster-Index"] == str(version)
        assert dict(after.headers)["X-Quaymaster-Index"] == str(peers.watcher.current(AUTH).version)


async def test_who_knows_of_nobody_is_told_that_there_is_nobody() -> None:
    async with waiting_room(0) as (peers, told, _, _):
        told.say(AUTH, Seen((replace(HERE, health=Health.CRITICAL),)))

        async def is_down() -> bool:
            return not peers.watcher.current(AUTH).usable

        await eventually(is_down)
        end = await peers.answer(_exchange("auth", If_None_Match="*"))
        assert isinstance(end, GatewayError)
        assert (end.status, end.reason) == (503, "no_healthy_instance")


async def test_no_more_replies_are_kept_than_there_is_room_for() -> None:
    """And none of what has changed."""
    async with waiting_room(0) as (peers, told, _, _):
        many = tuple(
            replace(instance_at(port, str(port)), service=AUTH) for port in range(1, KEPT_REPLIES + 9)
        )
        told.say(AUTH, Seen(many))
        await eventually(partial(_is_known, peers.watcher, *many))
        for _ in many:
            await _asked(peers, "auth")
        assert repr(peers) == "<PeerEndpoint: 8 replies of 1 services kept>"
        told.say(AUTH, Seen(many[:-1]))
        await eventually(partial(_is_known, peers.watcher, *many[:-1]))
        await _asked(peers, "auth")
        assert repr(peers) == "<PeerEndpoint: 1 replies of 1 services kept>"


# Who waits for news


@asynccontextmanager
async def waiting_room(places: int) -> AsyncIterator[tuple[PeerEndpoint, ToldWatch, WaitingRoom, int]]:
    """An endpoint that knows one instance of `auth`, and the version of that."""
    told, room = ToldWatch(), WaitingRoom(places)
    async with Watcher(told) as watcher:
        watcher.pin(AUTH)
        balancer = Balancer(watcher.current, PooledUpstream(), policies={}, rng=Random(7))
        told.say(AUTH, Seen((HERE,)))
        await eventually(partial(_is_known, watcher, HERE))
        yield PeerEndpoint(balancer, watcher, 10.0, room), told, room, watcher.current(AUTH).version


async def _waits(room: WaitingRoom, count: int = 1) -> None:
    async def so_many() -> bool:
        return len(room) == count

    await eventually(so_many)


async def test_a_long_poll_ends_when_an_instance_comes() -> None:
    async with waiting_room(1) as (peers, told, room, version), asyncio.TaskGroup() as group:
        poll = group.create_task(_asked(peers, f"auth&wait=60&index={version}"))
        await _waits(room)
        assert not poll.done()
        told.say(AUTH, Seen((HERE, THERE)))
        reply = await poll
        assert len(json.loads(reply.body)["alternates"]) == 1
        assert dict(reply.headers)["X-Quaymaster-Index"] != str(version)
        assert len(room) == 0


async def test_who_knows_something_else_is_answered_at_once() -> None:
    async with waiting_room(0) as (peers, _, _, version):
        assert (await _asked(peers, f"auth&wait=60&index={version + 1}")).status == 200
        assert (await _asked(peers, f"auth&wait=0&index={version}")).status == 200


async def test_a_long_poll_without_news_ends_with_its_time() -> None:
    """And with nothing, where the caller has said what it knows."""
    async with waiting_room(1) as (peers, _, _, version):
        reply = await _asked(peers, f"auth&wait=0.01&index={version}")
        assert (reply.status, dict(reply.headers)["X-Quaymaster-Index"]) == (200, str(version))
        tag = dict(reply.headers)["ETag"]
        assert (await _asked(peers, f"auth&wait=0.01&index={version}", If_None_Match=tag)).status == 304


async def test_a_gateway_that_stops_answers_whoever_waits() -> None:
    async with waiting_room(2) as (peers, _, room, version), asyncio.TaskGroup() as group:
        polls = [group.create_task(_asked(peers, f"auth&wait=60&index={version}")) for _ in range(2)]
        await _waits(room, 2)
        room.close()
        assert [(await poll).status for poll in polls] == [200, 200]
        assert (await _asked(peers, f"auth&wait=60&index={version}")).status == 200


async def test_when_too_many_wait_the_next_is_told_so() -> None:
    async with waiting_room(1) as (peers, _, room, version), asyncio.TaskGroup() as group:
        poll = group.create_task(_asked(peers, f"auth&wait=60&index={version}"))
        await _waits(room)
        refused = await peers.answer(_exchange(f"auth&wait=60&index={version}"))
        assert isinstance(refused, GatewayError)
        assert (refused.status, refused.reason) == (503, "overloaded")
        assert (await _asked(peers, "auth")).status == 200
        poll.cancel()
    assert len(room) == 0


async def test_one_can_wait_for_the_first_instance_too() -> None:
    async with waiting_room(1) as (peers, told, room, _), asyncio.TaskGroup() as group:
        told.say(AUTH, Gone(), Seen((replace(HERE, health=Health.CRITICAL),)))
        while True:
            sick = await peers.answer(_exchange("auth"))
            if isinstance(sick, GatewayError) and sick.reason == "no_healthy_instance":
                break
            await asyncio.sleep(0)
        index = dict(sick.headers)["X-Quaymaster-Index"]
        poll = group.create_task(_asked(peers, f"auth&wait=60&index={index}"))
        await _waits(room)
        told.say(AUTH, Seen((HERE,)))
        assert (await poll).status == 200


def _exchange(question: str, **headers: str) -> Exchange:
    return exchange_for(unsent_request("GET", _asking(question), **headers))


async def _asked(peers: PeerEndpoint, question: str, **headers: str) -> Reply:
    reply = await peers.answer(_exchange(question, **headers))
    assert isinstance(reply, Reply)
    return reply


async def _is_known(watcher: Watcher, *there: Instance) -> bool:
    return set(watcher.current(there[0].service).usable) == set(there)


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
