"""Which service or instances a request gets: what is chosen, and that real calls go there."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession

from balancer.model import Subset
from gateway.errors import GatewayError
from gateway.identity import User
from gateway.runtime.app import Gateway
from gateway.runtime.choices import Choice, choice_of
from gateway.runtime.prepared import Prepared
from gateway.settings import RouteSettings, Settings
from tests.balancer.origins import Behaviour, Origin, answers, origin
from tests.gateway.runtime.gateways import (
    RawAnswer,
    ask,
    eventually,
    exchange_for,
    settings_of,
    token,
    unsent_request,
)
from tests.gateway.runtime.scrapes import scrape
from tests.servers import free_ports

VERSIONS = {
    "header": "X-V",
    "to": {"1": {"service": "old"}, "2": {"tag": "v2"}, "3": {"service": "old", "tag": "v3"}},
}


def choice(method: str = "GET", **route: Any) -> Choice:
    whole = {"path": "/a", "service": "shop", "access": "public", **route}
    settings = Settings.model_validate(
        {"services": {"shop": {}, "old": {}}, "routes": [whole], "handlers": None}
    )
    found = choice_of(settings, RouteSettings.model_validate(whole), method, Random(1))
    assert found is not None
    return found


def chosen(of: Choice, user: str | None = None, **headers: str) -> Prepared:
    known = None if user is None else User(user, None, expires_at=0)
    found = of(exchange_for(unsent_request("GET", "/a", **headers), user=known))
    assert isinstance(found, Prepared)
    return found


def where(prepared: Prepared) -> tuple[str, Subset | None, str | None]:
    return prepared.policy.service, prepared.policy.subset, prepared.version


# Versions


def test_a_version_is_a_service_a_tag_or_both() -> None:
    of = choice(versions=VERSIONS)
    assert where(chosen(of)) == ("shop", None, None)
    assert where(chosen(of, X_V="1")) == ("old", None, "1")
    assert where(chosen(of, X_V="2")) == ("shop", Subset("v2"), "2")
    assert where(chosen(of, X_V="3")) == ("old", Subset("v3"), "3")
    assert where(chosen(choice(versions={**VERSIONS, "default": "2"}))) == ("shop", Subset("v2"), "2")


def test_a_version_that_does_not_exist_is_told_so() -> None:
    refused = choice(versions=VERSIONS)(exchange_for(unsent_request("GET", "/a", X_V="4")))
    assert isinstance(refused, GatewayError)
    assert (refused.status, refused.reason) == (404, "unknown_version")


# Subsets


@pytest.mark.parametrize(("weight", "side"), [(100, Subset("v2")), (0, Subset("v2", inside=False))])
def test_all_or_nothing_is_meant(weight: int, side: Subset) -> None:
    of = choice(subset={"tag": "v2", "weight": weight})
    assert {where(chosen(of, str(n))) for n in range(50)} == {("shop", side, "v2" if side.inside else None)}


def test_a_share_of_the_calls_goes_there_and_takes_the_others_if_it_must() -> None:
    of = choice(subset={"tag": "v2", "weight": 50})
    found = Counter(where(chosen(of, str(n))) for n in range(400))
    inside = ("shop", Subset("v2", or_others=True), "v2")
    outside = ("shop", Subset("v2", inside=False, or_others=True), None)
    assert set(found) == {inside, outside}
    assert 150 < found[inside] < 250
    assert {where(chosen(of, "ada")) for _ in range(50)} < set(found), "a caller keeps its side"
    loose = choice(subset={"tag": "v2", "weight": 50, "sticky": False})
    assert {where(chosen(loose, "ada")) for _ in range(50)} == set(found)


@pytest.mark.parametrize("weight", [0, 1, 100])
def test_who_asks_for_the_subset_gets_it_and_nothing_else(weight: int) -> None:
    of = choice(subset={"tag": "v2", "weight": weight, "header": "X-Canary", "value": "yes"})
    assert {where(chosen(of, str(n), X_Canary="yes")) for n in range(50)} == {("shop", Subset("v2"), "v2")}


def test_what_is_chosen_is_prepared_once() -> None:
    for of in (choice(versions=VERSIONS), choice(subset={"tag": "v2", "weight": 50})):
        assert len({id(chosen(of, "ada")) for _ in range(5)}) == 1


# Real calls, to instances that a registry knows by their tags


@asynccontextmanager
async def shop(
    *routes: dict[str, Any], tags: Sequence[Sequence[str]] = ((), ("v2",)), last: Behaviour | None = None
) -> AsyncIterator[tuple[Gateway, list[Origin]]]:
    """A gateway with a registry of its own in front of instances of `shop`, one for each list of tags.

    The `last` of them may do something else than to answer with its number.
    """
    async with AsyncExitStack() as stack:
        (port,) = free_ports(1)
        settings = settings_of(
            registry={"backend": "embedded", "address": f"127.0.0.1:{port}"},
            services={"shop": {"ejection": {"base_s": 60}}},
            routes=[{"service": "shop", "access": "public", **route} for route in routes],
        )
        running = await stack.enter_async_context(Gateway(settings))
        behaviours = [
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n) for n in range(len(tags))
        ]
        behaviours[-1] = last or behaviours[-1]
        there = [await stack.enter_async_context(origin(behaviour)) for behaviour in behaviours]
        session = await stack.enter_async_context(ClientSession(f"http://127.0.0.1:{port}"))
        for n, own in enumerate(tags):
            await register(session, n, there[n], own)

        async def all_known() -> bool:
            services = (await ask(running.port, "GET", "/health/detailed")).json()["services"]
            return len(services["shop"]["instances"]) == len(tags)

        await eventually(all_known)
        yield running, there


async def register(session: ClientSession, n: int, there: Origin, tags: Sequence[str]) -> None:
    port = there.instance.port
    body = {"ID": f"shop-{n}", "Name": "shop", "Address": "127.0.0.1", "Port": port, "Tags": list(tags)}
    async with session.put("/v1/agent/service/register", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def bodies(port: int, path: str, *headers: str, calls: int = 10) -> Counter[str]:
    found = [await ask(port, "GET", path, *headers) for _ in range(calls)]
    assert {answer.status for answer in found} == {200}
    return Counter(answer.body.decode() for answer in found)


def outcome(answer: RawAnswer) -> tuple[int, str]:
    return answer.status, answer.json()["reason"]


async def test_calls_go_to_the_instances_with_the_tag_and_to_no_others() -> None:
    versions = {
        "header": "X-V",
        "default": "1",
        "to": {"1": {"tag": "v1"}, "2": {"tag": "v2"}, "9": {"tag": "v9"}},
    }
    routes = (
        {"path": "/v2", "subset": {"tag": "v2"}},
        {"path": "/rest", "subset": {"tag": "v2", "weight": 0}},
        {"path": "/none", "subset": {"tag": "v9"}},
        {"path": "/by-header", "versions": versions},
        {"path": "/all"},
    )
    async with shop(*routes, tags=[["v1"], ["v2"], ["v2", "x"]]) as (running, _):
        port = running.port
        assert set(await bodies(port, "/v2")) == {"1", "2"}
        assert set(await bodies(port, "/rest")) == {"0"}
        assert set(await bodies(port, "/all")) == {"0", "1", "2"}
        assert set(await bodies(port, "/by-header")) == {"0"}
        assert set(await bodies(port, "/by-header", "X-V: 2")) == {"1", "2"}
        assert outcome(await ask(port, "GET", "/none")) == (503, "no_instances")
        assert outcome(await ask(port, "GET", "/by-header", "X-V: 9")) == (503, "no_instances")
        assert outcome(await ask(port, "GET", "/by-header", "X-V: 7")) == (404, "unknown_version")
        told = await ask(port, "GET", "/by-header", "X-V: 1")
        assert told.all("Vary") == ["X-V"]
        counted = await scrape(port)
        assert counted['quaymaster_versions_total{code="200",route="/v2",version="v2"}'] == 10
        assert counted['quaymaster_versions_total{code="503",route="/by-header",version="9"}'] == 1


async def test_a_dead_canary_costs_nobody_an_answer_but_who_asked_for_it() -> None:
    canary = {"tag": "v2", "weight": 50, "sticky": False, "header": "X-Canary"}
    async with shop({"path": "/a", "subset": canary}) as (running, there):
        assert set(await bodies(running.port, "/a", calls=40)) == {"0", "1"}
        await there[1].stop()
        assert set(await bodies(running.port, "/a", calls=40)) == {"0"}
        asked_for = await ask(running.port, "GET", "/a", "X-Canary: 1")
        assert asked_for.status in (502, 503)


async def test_a_canary_that_fails_has_its_calls_taken_away() -> None:
    fails = answers(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    async with shop({"path": "/a", "subset": {"tag": "v2", "weight": 99}}, last=fails) as (running, there):
        before = Counter([(await ask(running.port, "GET", "/a")).status for _ in range(5)])
        assert before == {500: 5}, "which puts it aside"
        assert set(await bodies(running.port, "/a")) == {"0"}
        assert there[1].requests == 5
        counted = await scrape(running.port)
        assert counted['quaymaster_versions_total{code="500",route="/a",version="v2"}'] == 5
        assert 'quaymaster_versions_total{code="200",route="/a",version="v2"}' not in counted


async def test_users_keep_their_side() -> None:
    route = {"path": "/a", "access": "user", "subset": {"tag": "v2", "weight": 50}}
    async with shop(route) as (running, _):
        sides = [await bodies(running.port, "/a", f"token: {token(f'u{n}')}", calls=3) for n in range(12)]
        assert {len(side) for side in sides} == {1}
        assert set(sum(sides, Counter[str]())) == {"0", "1"}
