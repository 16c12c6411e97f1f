"""The embedded agent and a real Consul, asked the same: over HTTP, and by py-consul as any service does.

Where the two differ, Consul is right. A real agent writes its catalogue a moment after it answered, so
what a change leads to is awaited.
"""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import consul.aio
import consul.check
import consul.exceptions
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from registry.agent import EmbeddedAgent
from tests.registry.agent.talk import Answer, Curl
from tests.servers import free_ports

AGENTS = ("embedded", "consul")
NUMBERS = count()


@pytest.fixture(params=AGENTS)
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if request.param == "consul":
        yield request.getfixturevalue("consul").address
    else:
        async with EmbeddedAgent("127.0.0.1", 0) as agent:
            yield agent.address


@pytest.fixture
async def curl(address: str) -> AsyncIterator[Curl]:
    async with Curl(address) as curl:
        yield curl


@pytest.fixture
async def client(address: str) -> AsyncIterator[Any]:
    """py-consul as it comes. Its own deprecated calls into aiohttp are not our business."""
    host, port = address.split(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = consul.aio.Consul(host=host, port=int(port))
    yield client
    await client.close()


@pytest.fixture
def name() -> str:
    """A service name of its own for every test: the real agent is shared."""
    return f"agent-{next(NUMBERS)}"


async def until(
    read: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], within_s: float = 10.0
) -> Any:
    """The first answer that is wanted; an assertion with the last one when none comes in time."""
    deadline = time.monotonic() + within_s
    while not wanted(answer := await read()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.02)
    return answer


async def entries(
    curl: Curl, name: str, wanted: int = 1, query: str = "", *, checks: int | None = None
) -> list[dict[str, Any]]:
    """The instances of a service, once there are so many, each with so many checks (the node's, too)."""

    def complete(answer: list[dict[str, Any]]) -> bool:
        return len(answer) == wanted and all(checks in (None, len(entry["Checks"])) for entry in answer)

    found: list[dict[str, Any]] = await until(lambda: curl.get(f"health/service/{name}{query}"), complete)
    return found


def status_of(curl: Curl, check_id: str) -> Callable[[], Awaitable[str]]:
    """Reads what the agent's own view says of a check, "" when there is no such check."""

    async def read() -> str:
        return str((await curl.get("agent/checks")).get(check_id, {}).get("Status", ""))

    return read


def catalogued(curl: Curl, name: str) -> Callable[[], Awaitable[str]]:
    """Reads what the catalogue says of a service's one check."""

    async def read() -> str:
        return "".join(check["Status"] for check in await curl.get(f"health/checks/{name}"))

    return read


async def settled(curl: Curl, path: str) -> int:
    """The index of a question once it has stopped to move."""
    index = 0
    while (now := (await curl("GET", path)).index) != index:
        index = now
        await asyncio.sleep(0.1)
    return index


# -- registering ----------------------------------------------------------------------------------


async def test_a_registration_in_all_views(curl: Curl, name: str) -> None:
    await curl.put(
        "agent/service/register",
        {
            "ID": f"{name}-1",
            "Name": name,
            "Port": 8080,
            "Address": "10.0.0.1",
            "Tags": ["a", "b"],
            "Meta": {"k": "v"},
            "TaggedAddresses": {"lan": {"address": "10.0.0.9", "port": 1}},
            "Weights": {"Passing": 5, "Warning": 2},
            "EnableTagOverride": True,
            "Check": {"TTL": "10s", "Notes": "why", "Status": "passing"},
        },
    )
    tagged = {
        "lan": {"Address": "10.0.0.9", "Port": 1},
        "lan_ipv4": {"Address": "10.0.0.1", "Port": 8080},
        "wan_ipv4": {"Address": "10.0.0.1", "Port": 8080},
    }
    own = (await curl.get("agent/services"))[f"{name}-1"]
    assert own == {
        "ID": f"{name}-1",
        "Service": name,
        "Tags": ["a", "b"],
        "Meta": {"k": "v"},
        "Port": 8080,
        "Address": "10.0.0.1",
        "TaggedAddresses": tagged,
        "Weights": {"Passing": 5, "Warning": 2},
        "EnableTagOverride": True,
    }
    (entry,) = await entries(curl, name, checks=2)
    assert set(entry) == {"Node", "Service", "Checks"}
    assert set(entry["Node"]) == {
        "ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "CreateIndex", "ModifyIndex"
    }  # fmt: skip
    indexes = {key: entry["Service"].pop(key) for key in ("CreateIndex", "ModifyIndex")}
    assert 1 <= indexes["CreateIndex"] <= indexes["ModifyIndex"]
    assert entry["Service"] == {
        **own,
        "Proxy": {"MeshGateway": {}, "Expose": {}},
        "Connect": {},
    }
    assert [check["CheckID"] for check in entry["Checks"]] == ["serfHealth", f"service:{name}-1"]
    (row,) = await curl.get(f"catalog/service/{name}")
    assert {key: value for key, value in row.items() if key.startswith("Service")} == {
        "ServiceKind": "",
        "ServiceID": f"{name}-1",
        "ServiceName": name,
        "ServiceTags": ["a", "b"],
        "ServiceAddress": "10.0.0.1",
        "ServiceTaggedAddresses": tagged,
        "ServiceWeights": {"Passing": 5, "Warning": 2},
        "ServiceMeta": {"k": "v"},
        "ServicePort": 8080,
        "ServiceEnableTagOverride": True,
        "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
    }
    assert (row["Node"], row["Address"]) == (entry["Node"]["Node"], entry["Node"]["Address"])
    assert sorted((await curl.get("catalog/services"))[name]) == ["a", "b"]


async def test_the_least_there_is_to_say(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name})
    assert (await curl.get("agent/services"))[name] == {
        "ID": name,
        "Service": name,
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
    }
    (entry,) = await entries(curl, name)
    assert entry["Service"]["Meta"] is None
    assert "TaggedAddresses" not in entry["Service"]
    assert [check["CheckID"] for check in entry["Checks"]] == ["serfHealth"]


async def test_a_check_in_all_views(curl: Curl, name: str) -> None:
    check = {"CheckID": f"{name}-c", "Name": "alive", "Notes": "why", "TTL": "10s"}
    await curl.put("agent/service/register", {"Name": name, "Tags": ["t"], "Check": check})
    expected = {
        "CheckID": f"{name}-c",
        "Name": "alive",
        "Status": "critical",
        "Notes": "why",
        "Output": "",
        "ServiceID": name,
        "ServiceName": name,
        "ServiceTags": ["t"],
        "Type": "ttl",
        "Definition": {},
    }
    (entry,) = await entries(curl, name, checks=2)
    node = entry["Node"]["Node"]
    views = [
        (await curl.get("agent/checks"))[f"{name}-c"],
        entry["Checks"][1],
        (await curl.get(f"health/checks/{name}"))[0],
        next(c for c in await curl.get("health/state/critical") if c["CheckID"] == f"{name}-c"),
        next(c for c in await curl.get("health/state/any") if c["CheckID"] == f"{name}-c"),
        next(c for c in await curl.get(f"health/node/{node}") if c["CheckID"] == f"{name}-c"),
    ]
    for view in views:
        assert {key: view[key] for key in expected} == expected
        assert set(view) == {*expected, "Node", "CreateIndex", "ModifyIndex"}
    assert f"{name}-c" not in [c["CheckID"] for c in await curl.get("health/state/passing")]


async def test_several_checks_get_numbers(curl: Curl, name: str) -> None:
    await curl.put(
        "agent/service/register",
        {
            "Name": name,
            "Check": {"TTL": "10s"},
            "Checks": [{"TTL": "10s", "CheckID": f"{name}-c"}, {"TTL": "9s"}],
        },
    )
    own = [id for id, check in (await curl.get("agent/checks")).items() if check["ServiceID"] == name]
    assert sorted(own) == [f"{name}-c", f"service:{name}:1", f"service:{name}:3"]


async def test_to_register_again_keeps_other_state(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Port": 1, "Check": {"TTL": "60s"}})
    await curl.put(f"agent/check/pass/service:{name}?note=fine")
    await curl.put("agent/check/register", {"ID": f"{name}-c", "Name": "c", "TTL": "60s", "ServiceID": name})
    await curl.put(
        "agent/service/register", {"Name": name, "Port": 2, "Check": {"TTL": "60s", "Status": "critical"}}
    )
    checks = await curl.get("agent/checks")
    assert (checks[f"service:{name}"]["Status"], checks[f"service:{name}"]["Output"]) == ("passing", "fine")
    assert f"{name}-c" in checks
    assert (await curl.get("agent/services"))[name]["Port"] == 2
    await curl.put(
        "agent/service/register?replace-existing-checks=true", {"Name": name, "Check": {"TTL": "60s"}}
    )
    checks = await curl.get("agent/checks")
    assert f"{name}-c" not in checks
    assert checks[f"service:{name}"]["Status"] == "passing"


async def test_an_id_may_take_another_name(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"ID": name, "Name": f"{name}-old"})
    await entries(curl, f"{name}-old")
    await curl.put("agent/service/register", {"ID": name, "Name": f"{name}-new"})
    await entries(curl, f"{name}-new")
    assert await entries(curl, f"{name}-old", 0) == []


async def test_to_deregister_takes_the_checks_along(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "10s"}})
    await entries(curl, name)
    await curl.put(f"agent/service/deregister/{name}")
    assert name not in await curl.get("agent/services")
    assert f"service:{name}" not in await curl.get("agent/checks")
    await entries(curl, name, 0)
    assert await curl.get(f"health/checks/{name}") == []


async def test_what_is_not_there_is_deregistered_already(curl: Curl, name: str) -> None:
    assert (await curl("PUT", f"agent/service/deregister/{name}")).status == 200
    assert (await curl("PUT", f"agent/check/deregister/{name}")).status == 200


async def test_ids_that_need_encoding(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"ID": f"{name} x/y", "Name": name})
    await curl.put(f"agent/service/deregister/{name}%20x%2Fy")
    assert f"{name} x/y" not in await curl.get("agent/services")


# -- how checks stand -----------------------------------------------------------------------------


async def test_a_ttl_check_says_what_it_was_told(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s"}})
    for word, status in (("pass", "passing"), ("warn", "warning"), ("fail", "critical")):
        await curl.put(f"agent/check/{word}/service:{name}?note=it+{word}s")
        check = (await curl.get("agent/checks"))[f"service:{name}"]
        assert (check["Status"], check["Output"]) == (status, f"it {word}s")
        await until(catalogued(curl, name), status.__eq__)
    await curl.put(f"agent/check/update/service:{name}", {"Status": "passing", "Output": "all well"})
    check = (await curl.get("agent/checks"))[f"service:{name}"]
    assert (check["Status"], check["Output"]) == ("passing", "all well")


async def test_a_long_output_is_cut(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s"}})
    await curl.put(f"agent/check/update/service:{name}", {"Status": "passing", "Output": "x" * 5000})
    check = (await curl.get("agent/checks"))[f"service:{name}"]
    assert check["Output"] == "x" * 4096 + " ... (captured 4096 of 5000 bytes)"


async def test_a_ttl_that_nobody_feeds_ends(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "300ms"}})
    await curl.put(f"agent/check/pass/service:{name}?note=last+words")
    assert await status_of(curl, f"service:{name}")() == "passing"
    await until(status_of(curl, f"service:{name}"), lambda status: status == "critical")
    check = (await curl.get("agent/checks"))[f"service:{name}"]
    assert check["Output"] == "TTL expired (last output before timeout follows): last words"
    await until(lambda: curl.get(f"health/checks/{name}"), lambda checks: checks[0]["Status"] == "critical")
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "10s", "Status": "passing"}})
    assert await status_of(curl, f"service:{name}")() == "critical", "to register again is no proof of health"


class Service:
    """An instance with a health endpoint that can be told to fail."""

    def __init__(self) -> None:
        self.code = 200

    async def health(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.code, text="state")


async def test_http_and_tcp_checks_follow_the_service(curl: Curl, name: str) -> None:
    service = Service()
    app = web.Application()
    app.router.add_get("/health", service.health)
    (closed,) = free_ports(1)
    async with TestServer(app) as server:
        url = str(server.make_url("/health"))
        checks = [
            {"CheckID": f"{name}-http", "HTTP": url, "Interval": "1s", "Timeout": "1s"},
            {"CheckID": f"{name}-tcp", "TCP": f"127.0.0.1:{server.port}", "Interval": "1s"},
            {"CheckID": f"{name}-refused", "HTTP": f"http://127.0.0.1:{closed}/", "Interval": "1s"},
            {"CheckID": f"{name}-scheme", "HTTP": f"ftp://127.0.0.1:{closed}/", "Interval": "1s"},
        ]
        await curl.put("agent/service/register", {"Name": name, "Checks": checks})
        await until(status_of(curl, f"{name}-http"), lambda status: status == "passing")
        await until(status_of(curl, f"{name}-tcp"), lambda status: status == "passing")
        found = await until(
            lambda: curl.get("agent/checks"),
            lambda all: all[f"{name}-refused"]["Output"] and all[f"{name}-scheme"]["Output"],
        )
        assert found[f"{name}-http"]["Output"] == f"HTTP GET {url}: 200 OK Output: state"
        assert found[f"{name}-tcp"]["Output"] == f"TCP connect 127.0.0.1:{server.port}: Success"
        refused = f"dial tcp 127.0.0.1:{closed}: connect: connection refused"
        assert found[f"{name}-refused"]["Output"] == f'Get "http://127.0.0.1:{closed}/": {refused}'
        assert 'unsupported protocol scheme "ftp"' in found[f"{name}-scheme"]["Output"]
        assert {found[f"{name}-{kind}"]["Type"] for kind in ("http", "tcp")} == {"http", "tcp"}
        service.code = 429
        await until(status_of(curl, f"{name}-http"), lambda status: status == "warning")
        service.code = 500
        await until(status_of(curl, f"{name}-http"), lambda status: status == "critical")
    await until(status_of(curl, f"{name}-tcp"), lambda status: status == "critical")
    answer = await curl("PUT", f"agent/check/pass/{name}-http")
    assert (answer.status, answer.text) == (500, f'CheckID "{name}-http" does not have associated TTL')
    await curl.put(f"agent/service/deregister/{name}")


async def test_a_check_of_the_node_stands_with_every_service(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s", "Status": "passing"}})
    await entries(curl, name, 1, "?passing")
    await curl.put("agent/check/register", {"ID": f"{name}-disk", "Name": "disk", "TTL": "60s"})
    try:
        (entry,) = await entries(curl, name, checks=3)
        disk = next(check for check in entry["Checks"] if check["CheckID"] == f"{name}-disk")
        assert (disk["ServiceID"], disk["ServiceName"], disk["ServiceTags"]) == ("", "", [])
        assert await curl.get(f"health/service/{name}?passing") == []
    finally:
        await curl.put(f"agent/check/deregister/{name}-disk")
    await entries(curl, name, 1, "?passing")


async def test_maintenance(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s", "Status": "passing"}})
    await curl.put(f"agent/service/maintenance/{name}?enable=true&reason=disk+swap")
    (entry,) = await entries(curl, name, checks=3)
    check = next(c for c in entry["Checks"] if c["CheckID"].startswith("_"))
    assert {key: check[key] for key in ("CheckID", "Name", "Status", "Notes", "Type", "ServiceID")} == {
        "CheckID": f"_service_maintenance:{name}",
        "Name": "Service Maintenance Mode",
        "Status": "critical",
        "Notes": "disk swap",
        "Type": "maintenance",
        "ServiceID": name,
    }
    await curl.put(f"agent/service/maintenance/{name}?enable=true&reason=other")
    assert (await curl.get("agent/checks"))[f"_service_maintenance:{name}"]["Notes"] == "disk swap"
    await curl.put(f"agent/service/maintenance/{name}?enable=false")
    await curl.put(f"agent/service/maintenance/{name}?enable=false")
    await entries(curl, name, 1, "?passing")


# -- filters --------------------------------------------------------------------------------------


async def test_passing_and_tags(curl: Curl, name: str) -> None:
    for id, tags, status in (("1", ["Blue", "b"], "warning"), ("2", ["b"], "passing"), ("3", [], "critical")):
        check = {"TTL": "60s", "Status": status}
        await curl.put(
            "agent/service/register", {"ID": f"{name}-{id}", "Name": name, "Tags": tags, "Check": check}
        )
    await entries(curl, name, 3, checks=2)

    async def found(query: str) -> set[str]:
        answer = await curl.get(f"health/service/{name}?{query}")
        return {entry["Service"]["ID"].rpartition("-")[2] for entry in answer}

    assert await found("passing") == await found("passing=1") == await found("passing=true") == {"2"}
    assert await found("passing=0") == await found("") == {"1", "2", "3"}
    assert await found("tag=b") == {"1", "2"}
    assert await found("tag=b&tag=blue") == {"1"}
    assert await found("tag=b&passing") == {"2"}
    assert await found("tag=nobody") == set()
    rows = await curl.get(f"catalog/service/{name}?tag=b&tag=BLUE")
    assert [row["ServiceID"] for row in rows] == [f"{name}-1"]


async def test_a_name_in_another_case_is_the_same_name(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name})
    await entries(curl, name.upper())


async def test_what_is_not_there_is_an_empty_answer(curl: Curl, name: str) -> None:
    for path in (f"health/service/{name}", f"health/checks/{name}", f"catalog/service/{name}"):
        assert await curl.get(path) == []
    assert await curl.get(f"health/node/{name}") == []
    assert await curl.get("health/state/odd") == []


@pytest.mark.parametrize(
    ("query", "consistency"),
    [
        ("", "leader"),
        ("stale", "stale"),
        ("consistent", "consistent"),
        ("near=_agent", "leader"),
        ("dc=dc1", "leader"),
    ],
)
async def test_reads_carry_consuls_headers(curl: Curl, name: str, query: str, consistency: str) -> None:
    for path in (f"health/service/{name}", f"catalog/service/{name}", "catalog/services", "health/state/any"):
        answer = await curl("GET", f"{path}?{query}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.index >= 1
        assert answer.headers["x-consul-knownleader"] == "true"
        assert answer.headers["x-consul-lastcontact"] == "0"
        assert answer.headers["x-consul-effective-consistency"] == consistency


async def test_the_agent_says_who_it_is(curl: Curl) -> None:
    told = await curl.get("agent/self")
    assert {"Datacenter", "NodeName", "NodeID", "Server", "Version"} <= set(told["Config"])
    assert told["Config"]["Datacenter"] == "dc1"
    assert told["Member"]["Name"] == told["Config"]["NodeName"]
    leader = await curl.get("status/leader")
    assert leader.startswith("127.0.0.1:")


# -- blocking queries -----------------------------------------------------------------------------


async def timed(asked: Awaitable[Answer]) -> tuple[float, Answer]:
    started = time.monotonic()
    answer = await asked
    return time.monotonic() - started, answer


async def test_a_wait_ends_after_its_time_plus_at_most_a_sixteenth(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name})
    index = await settled(curl, f"health/service/{name}")
    for known in (index, index + 1000):
        took, answer = await timed(curl("GET", f"health/service/{name}?index={known}&wait=400ms"))
        assert 0.4 <= took < 5
        assert answer.index == index


async def test_an_older_index_does_not_wait(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name})
    index = await settled(curl, f"health/service/{name}")
    for query in (f"index={index - 1}&wait=10s", "index=0&wait=10s", "wait=10s"):
        took, answer = await timed(curl("GET", f"health/service/{name}?{query}"))
        assert took < 2
        assert answer.index == index


async def changes(curl: Curl, name: str) -> list[tuple[str, Any]]:
    """All that may happen to a service, in an order in which each is a change."""
    check = {"CheckID": f"{name}-c", "TTL": "60s"}
    return [
        ("agent/service/register", {"Name": name, "Check": check}),
        (f"agent/check/pass/{name}-c", None),
        (f"agent/check/warn/{name}-c", None),
        ("agent/service/register", {"Name": name, "Port": 5, "Check": check}),
        (f"agent/service/maintenance/{name}?enable=true", None),
        (f"agent/service/maintenance/{name}?enable=false", None),
        (f"agent/check/deregister/{name}-c", None),
        (f"agent/service/deregister/{name}", None),
    ]


async def test_every_change_wakes_a_waiter_and_the_index_only_grows(curl: Curl, name: str) -> None:
    path = f"health/service/{name}"
    index = await settled(curl, path)
    for change, body in await changes(curl, name):
        async with asyncio.TaskGroup() as group:
            waiter = group.create_task(timed(curl("GET", f"{path}?index={index}&wait=10s")))
            await asyncio.sleep(0.05)  # else an answer without waiting would pass as a wake-up
            assert not waiter.done(), change
            await curl.put(change, body)
        took, answer = waiter.result()
        assert took < 5, change
        assert answer.index > index, change
        index = await settled(curl, path)
        assert index >= answer.index


async def test_other_services_and_repeated_news_wake_nobody(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s", "Status": "passing"}})
    index = await settled(curl, f"health/service/{name}")
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(timed(curl("GET", f"health/service/{name}?index={index}&wait=1s")))
        for change, body in await changes(curl, f"{name}-other"):
            await curl.put(change, body)
        for note in ("a", "b"):
            await curl.put(f"agent/check/pass/service:{name}?note={note}")
    took, answer = waiter.result()
    assert took >= 1
    assert answer.index == index


async def test_the_names_wake_for_registrations_but_not_for_checks(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s"}})
    index = await settled(curl, "catalog/services")
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(timed(curl("GET", f"catalog/services?index={index}&wait=400ms")))
        await curl.put(f"agent/check/pass/service:{name}")
    took, _ = waiter.result()
    assert took >= 0.4
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(timed(curl("GET", f"catalog/services?index={index}&wait=10s")))
        await asyncio.sleep(0.05)
        await curl.put("agent/service/register", {"Name": f"{name}-more"})
    took, answer = waiter.result()
    assert took < 5
    assert f"{name}-more" in answer.json


async def test_all_checks_wake_for_a_check(curl: Curl, name: str) -> None:
    await curl.put("agent/service/register", {"Name": name, "Check": {"TTL": "60s"}})
    index = await settled(curl, "health/state/any")
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(timed(curl("GET", f"health/state/any?index={index}&wait=10s")))
        await asyncio.sleep(0.05)
        await curl.put(f"agent/check/pass/service:{name}")
    took, answer = waiter.result()
    assert took < 5
    assert answer.index > index


# -- errors ---------------------------------------------------------------------------------------

PUTS = [
    "agent/service/register",
    "agent/service/deregister/x",
    "agent/service/maintenance/x",
    "agent/check/register",
    "agent/check/deregister/x",
    "agent/check/pass/x",
    "agent/check/warn/x",
    "agent/check/fail/x",
    "agent/check/update/x",
]
GETS = [
    "agent/services",
    "agent/checks",
    "agent/self",
    "health/service/x",
    "health/checks/x",
    "health/state/any",
    "health/node/x",
    "catalog/services",
    "catalog/service/x",
    "status/leader",
]


@pytest.mark.parametrize(("allowed", "paths"), [("PUT", PUTS), ("GET", GETS)])
async def test_the_wrong_method_is_told_the_right_one(curl: Curl, allowed: str, paths: list[str]) -> None:
    for path in paths:
        for method in {"GET", "PUT", "POST", "DELETE"} - {allowed}:
            answer = await curl(method, path)
            assert (answer.status, answer.text) == (405, f"method {method} not allowed"), path
            assert answer.headers["allow"] == f"OPTIONS,{allowed}"
        answer = await curl("OPTIONS", path)
        assert (answer.status, answer.headers["allow"]) == (200, f"OPTIONS,{allowed}")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("agent/service/register", {}, 400, "Missing service name"),
        ("agent/service/register", b"null", 400, "Missing service name"),
        ("agent/service/register", b"", 400, "Request decode failed: EOF"),
        (
            "agent/service/register",
            {"Name": "x", "Port": "80"},
            400,
            "Request decode failed: json: cannot unmarshal string into Go struct field .Port of type int",
        ),
        (
            "agent/service/register",
            {"Name": "x", "Bogus": 1},
            400,
            'Request decode failed: json: unknown field "Bogus"',
        ),
        (
            "agent/service/register",
            {"Name": "x", "Check": {"TTL": "abc"}},
            400,
            'Request decode failed: time: invalid duration "abc"',
        ),
        (
            "agent/service/register",
            {"Name": "x", "Check": {"TTL": "10"}},
            400,
            'Request decode failed: time: missing unit in duration "10"',
        ),
        (
            "agent/service/register",
            {"Name": "x", "Check": {"HTTP": "http://a"}},
            400,
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            "agent/service/register",
            {"Name": "x", "Check": {"TTL": "1s", "Status": "odd"}},
            400,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            "agent/service/register",
            {"Name": "x", "Weights": {"Passing": 0, "Warning": 1}},
            400,
            "Invalid Weights: Passing must be greater than 0",
        ),
        ("agent/service/register", {"Name": "x", "Address": "0.0.0.0"}, 400, "Invalid service address"),
        (
            "agent/service/register",
            {"Name": "x", "Meta": {"a b": "1"}},
            400,
            "Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters",
        ),
        ("agent/service/deregister/", None, 500, "ServiceID missing"),
        ("agent/service/maintenance/?enable=true", None, 400, "Missing service ID"),
        ("agent/service/maintenance/x", None, 400, "Missing value for enable"),
        ("agent/service/maintenance/x?enable=odd", None, 400, 'Invalid value for enable: "odd"'),
        ("agent/service/maintenance/nobody?enable=1", None, 404, 'No service registered with ID "nobody"'),
        ("agent/check/register", {"TTL": "1s"}, 400, "Missing check name"),
        ("agent/check/register", {"Name": "c"}, 400, "Invalid check: TTL must be > 0 for TTL checks"),
        ("agent/check/register", {"Name": "c", "TTL": "1s", "Status": "odd"}, 400, "Bad check status"),
        (
            "agent/check/register",
            {"Name": "c", "TTL": "1s", "ServiceID": "nobody"},
            500,
            'ServiceID "nobody" does not exist',
        ),
        ("agent/check/deregister/", None, 500, "CheckID missing"),
        ("agent/check/pass/nobody", None, 500, 'CheckID "nobody" does not have associated TTL'),
        ("agent/check/fail/nobody", None, 500, 'CheckID "nobody" does not have associated TTL'),
        (
            "agent/check/update/nobody",
            {"Status": "passing"},
            500,
            'CheckID "nobody" does not have associated TTL',
        ),
        ("agent/check/update/nobody", {"Status": "odd"}, 400, "Invalid check status: 'odd'"),
    ],
)
async def test_bad_writes_in_consuls_words(curl: Curl, path: str, body: Any, status: int, text: str) -> None:
    answer = await curl("PUT", path, body)
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["content-type"].startswith("text/plain")
    assert "x" not in await curl.get("agent/services")


async def test_broken_json_is_a_bad_request(curl: Curl) -> None:
    for path in ("agent/service/register", "agent/check/register", "agent/check/update/x"):
        for body in (b"{bad", b'{"Name":"x"', b"[]"):
            answer = await curl("PUT", path, body)
            assert answer.status == 400
            assert answer.text.startswith("Request decode failed: ")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("health/service/", 400, "Missing service name"),
        ("health/checks/", 400, "Missing service name"),
        ("health/state/", 400, "Missing check state"),
        ("health/node/", 400, "Missing node name"),
        ("catalog/service/", 400, "Missing service name"),
        ("health/service/x?index=abc", 400, "Invalid index"),
        ("health/service/x?index=-1", 400, "Invalid index"),
        ("health/service/x?index=1&wait=zz", 400, "Invalid wait time"),
        ("health/service/x?index=1&wait=10", 400, "Invalid wait time"),
        ("health/service/x?passing=odd", 400, "Invalid value for ?passing"),
        ("health/service/x?dc=elsewhere", 500, "No path to datacenter"),
        (
            "health/service/x?stale&consistent",
            400,
            "Cannot specify ?stale with ?consistent, conflicting semantics.",
        ),
    ],
)
async def test_bad_reads_in_consuls_words(curl: Curl, path: str, status: int, text: str) -> None:
    answer = await curl("GET", path)
    assert (answer.status, answer.text) == (status, text)


async def test_what_does_not_exist_is_not_found(curl: Curl) -> None:
    assert (await curl("GET", "nonsense")).status == 404


# -- py-consul, as any service uses it ------------------------------------------------------------


async def test_py_consul_registers_feeds_watches_and_leaves(client: Any, name: str) -> None:
    await client.agent.service.register(
        name,
        service_id=f"{name}-1",
        address="127.0.0.1",
        port=9001,
        tags=["a"],
        meta={"k": "v"},
        weights={"passing": 3, "warning": 1},
        check=consul.check.Check.ttl("60s"),
    )
    found: list[Any] = []
    async with asyncio.timeout(10):
        while not found or len(found[0]["Checks"]) != 2:
            index, found = await client.health.service(name)
    service = found[0]["Service"]
    assert (service["ID"], service["Port"], service["Meta"], service["Tags"]) == (
        f"{name}-1", 9001, {"k": "v"}, ["a"],
    )  # fmt: skip
    assert service["Weights"] == {"Passing": 3, "Warning": 1}
    assert await client.health.service(name, passing=True) == (index, [])
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(client.health.service(name, passing=True, index=index, wait="10s"))
        await asyncio.sleep(0.05)
        await client.agent.check.ttl_pass(f"service:{name}-1", notes="up")
    newer, found = waiter.result()
    assert int(newer) > int(index)
    assert [entry["Checks"][-1]["Output"] for entry in found] == ["up"]
    assert f"{name}-1" in await client.agent.services()
    assert (await client.agent.checks())[f"service:{name}-1"]["Status"] == "passing"
    _, names = await client.catalog.services()
    assert names[name] == ["a"]
    _, rows = await client.catalog.service(name, tag="a")
    assert [row["ServiceID"] for row in rows] == [f"{name}-1"]
    await client.agent.service.maintenance(f"{name}-1", enable=True, reason="pause")
    await client.agent.service.maintenance(f"{name}-1", enable=False)
    await client.agent.check.ttl_fail(f"service:{name}-1")
    await client.agent.service.deregister(f"{name}-1")
    async with asyncio.timeout(10):
        while found:
            _, found = await client.health.service(name)


async def test_py_consul_with_http_and_tcp_checks(client: Any, name: str) -> None:
    app = web.Application()
    app.router.add_get("/health", Service().health)
    async with TestServer(app) as server:
        await client.agent.service.register(
            name,
            port=server.port,
            check=consul.check.Check.http(
                str(server.make_url("/health")), "1s", timeout="1s", deregister="90s", header={"X": ["y"]}
            ),
            extra_checks=[consul.check.Check.tcp("127.0.0.1", server.port or 0, "1s")],
        )
        found: list[Any] = []
        async with asyncio.timeout(10):
            while not found:
                _, found = await client.health.service(name, passing=True)
        assert {check["Type"] for check in found[0]["Checks"]} == {"", "http", "tcp"}
        await client.agent.service.deregister(name)


async def test_py_consul_registers_checks_by_themselves(client: Any, name: str) -> None:
    await client.agent.service.register(name)
    await client.agent.check.register(
        name, check=consul.check.Check.ttl("60s"), check_id=f"{name}-c", service_id=name
    )
    await client.agent.check.ttl_warn(f"{name}-c")
    check = (await client.agent.checks())[f"{name}-c"]
    assert (check["Status"], check["ServiceID"]) == ("warning", name)
    await client.agent.check.deregister(f"{name}-c")
    assert f"{name}-c" not in await client.agent.checks()
    await client.agent.service.deregister(name)


async def test_py_consul_understands_the_errors(client: Any, name: str) -> None:
    with pytest.raises(consul.exceptions.ConsulException, match="does not have associated TTL"):
        await client.agent.check.ttl_pass(f"{name}-nobody")
    with pytest.raises(consul.exceptions.BadRequest, match="Invalid Service Meta"):
        await client.agent.service.register(name, meta={"a b": "1"})
    with pytest.raises(consul.exceptions.BadRequest, match="invalid duration"):
        await client.agent.service.register(name, check=consul.check.Check.ttl("abc"))
    assert await client.agent.service.deregister(f"{name}-nobody")
