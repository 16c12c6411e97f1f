"""Consul itself where it can show the fault, a fake agent on a real socket where it can't."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.backends import consul as consul_backend
from registry.backends.base import Backend, BackendSettings, Registrar, Registration
from registry.backends.consul import open_backend
from registry.blocking import BURST, QUERIES_PER_S
from registry.model import (
    BadAnswer,
    Denied,
    Failed,
    Gone,
    Health,
    Instance,
    InstanceId,
    NotRegistered,
    RegistryError,
    Seen,
    ServiceName,
    Unreachable,
    Update,
)
from registry.runtime.tasks import Tasks
from tests.registry.certificates import Authority
from tests.registry.fake_agent import (
    Answers,
    cuts_the_body_off,
    emptied_by_acls,
    entry,
    fake_agent,
    never_answers,
    redirects,
    says,
)
from tests.registry.waiting import first, until
from tests.servers import ConsulAgent, consul_agent

WEB = ServiceName("web")
NAMES: Iterator[str] = (f"consul-{number}" for number in count())


@pytest.fixture
def service() -> ServiceName:
    return ServiceName(next(NAMES))


@asynccontextmanager
async def backend_at(address: str, **more: Any) -> AsyncIterator[Backend]:
    async with open_backend(BackendSettings(address=address, **({"wait_s": 1.0} | more))) as backend:
        yield backend


async def first_update(address: str, service: ServiceName = WEB, **more: Any) -> Update:
    async with backend_at(address, **more) as backend, aclosing(backend.watch.watch(service)) as stream:
        return await anext(stream)


def seen(update: Update) -> dict[str, Instance]:
    return {i.id: i for i in update.instances} if isinstance(update, Seen) else {}


async def put(agent: ConsulAgent, path: str, body: Mapping[str, object]) -> None:
    """What any other client of this agent could say."""
    url = f"http://{agent.address}{path}"
    async with aiohttp.ClientSession() as session, session.put(url, json=body) as answer:
        assert answer.status == 200, await answer.text()


async def put_service(agent: ConsulAgent, service: ServiceName, name: str, **more: object) -> None:
    await put(agent, "/v1/agent/service/register", {"Name": service, "ID": name} | more)


# What is understood.


async def test_one_bad_instance_among_good_ones_is_left_out_alone(
    consul: ConsulAgent, service: ServiceName
) -> None:
    await put_service(consul, service, "good", Port=80)
    await put_service(consul, service, "negative", Port=-1)
    await put_service(consul, service, "huge", Port=99999)
    await put_service(consul, service, "none")
    await put_service(consul, service, "metadata", Port=80, Address="169.254.169.254")
    await put_service(consul, service, "hexadecimal", Port=80, Address="0x7f000001")
    await put_service(consul, service, "mapped", Port=80, Address="::ffff:169.254.169.254")
    await put_service(consul, service, "named", Port=80, Address="localhost")
    await put_service(consul, service, "elsewhere", Port=80, Address="a.invalid")
    await put_service(consul, service, "registry", Port=consul.port)
    await put_service(consul, service, "script", Port=80, Meta={"scheme": "javascript"})
    update = await first_update(consul.address, service)
    assert isinstance(update, Seen)
    assert {i.id: i.ip for i in update.instances} == {"good": "127.0.0.1", "named": "127.0.0.1"}
    assert {q.id: q.reason for q in update.quarantined} == {
        "negative": "bad_port",
        "huge": "bad_port",
        "none": "bad_port",
        "metadata": "not_allowed",
        "hexadecimal": "bad_address",
        "mapped": "not_allowed",
        "elsewhere": "unresolvable",
        "registry": "not_allowed",
        "script": "bad_meta",
    }


async def test_allowed_networks_decide_where_instances_may_live(
    consul: ConsulAgent, service: ServiceName
) -> None:
    await put_service(consul, service, "inside", Port=80, Address="10.1.2.3")
    await put_service(consul, service, "outside", Port=80, Address="192.168.1.1")
    await put_service(consul, service, "local", Port=80)
    assert set(seen(await first_update(consul.address, service))) == {"inside", "outside", "local"}
    narrowed = await first_update(consul.address, service, allowed_networks=("10.0.0.0/8",))
    assert set(seen(narrowed)) == {"inside"}


async def test_the_same_id_on_two_nodes_is_two_instances(consul: ConsulAgent, service: ServiceName) -> None:
    for node, address in (("n1", "10.0.0.1"), ("n2", "10.0.0.2")):
        await put(
            consul,
            "/v1/catalog/register",
            {"Node": node, "Address": address, "Service": {"Service": service, "ID": service, "Port": 80}},
        )
    instances = seen(await first_update(consul.address, service))
    assert {name: i.ip for name, i in instances.items()} == {service: "10.0.0.1", f"{service}@n2": "10.0.0.2"}


async def test_checks_of_the_node_count_too(consul: ConsulAgent, service: ServiceName) -> None:
    for node, check, status in (
        ("ailing", "disk", "warning"),
        ("dead", "serfHealth", "critical"),
        ("in-repair", "_node_maintenance", "critical"),
    ):
        await put(
            consul,
            "/v1/catalog/register",
            {
                "Node": node,
                "Address": "10.0.0.1",
                "Service": {
                    "Service": service,
                    "ID": node,
                    "Port": 80,
                    "Weights": {"Passing": 9, "Warning": 2},
                },
                "Check": {"CheckID": check, "Status": status},
            },
        )
    instances = seen(await first_update(consul.address, service))
    assert {name: i.health for name, i in instances.items()} == {
        "ailing": Health.WARNING,
        "dead": Health.CRITICAL,
        "in-repair": Health.MAINTENANCE,
    }
    assert instances["ailing"].weight == 2


@pytest.mark.parametrize("wrong", [{"weight": 70000}, {"meta": {"no spaces": "x"}}], ids=str)
async def test_what_the_agent_refuses_is_a_registry_error(
    consul: ConsulAgent, service: ServiceName, wrong: dict[str, Any]
) -> None:
    async with backend_at(consul.address) as backend:
        assert backend.registrar is not None
        with pytest.raises(BadAnswer, match="400 Invalid"):
            await backend.registrar.register(Registration(InstanceId("x"), service, 80, **wrong))


async def test_many_watches_do_not_hold_a_registration_up(consul: ConsulAgent, service: ServiceName) -> None:
    """py-consul's own client stops at 100 connections: the next call then waited for a poll to end."""
    read, tasks = 0, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))

    async def follow(backend: Backend) -> None:
        nonlocal read
        async with aclosing(backend.watch.watch(service)) as stream:
            async for _ in stream:
                read += 1

    async with backend_at(consul.address, wait_s=60.0) as backend:
        assert backend.registrar is not None
        for number in range(120):
            tasks.start(f"watch {number}", follow(backend))
        try:
            await until(lambda: read >= 120)  # and now each blocks in its second query
            started = time.monotonic()
            await backend.registrar.register(Registration(InstanceId(service), service, 80))
            assert time.monotonic() - started < 2.0
            await until(lambda: read >= 240)
        finally:
            await tasks.close()


async def test_churn_costs_few_queries_and_the_last_word_counts(
    consul: ConsulAgent, service: ServiceName
) -> None:
    async with backend_at(consul.address) as backend, aclosing(backend.watch.watch(service)) as stream:
        started, updates = time.monotonic(), [await anext(stream)]
        for number in range(40):
            await put_service(consul, service, f"i{number}", Port=80)
        async with asyncio.timeout(10):
            while len(seen(updates[-1])) < 40:
                updates.append(await anext(stream))
        assert len(updates) <= BURST + QUERIES_PER_S * (time.monotonic() - started) + 1


# An agent that stops, restarts or freezes.


@pytest.fixture(scope="module")
def own_agent() -> Iterator[ConsulAgent]:
    """One that these tests may stop and freeze; they leave it running."""
    with consul_agent() as agent:
        yield agent


async def test_an_agent_that_restarts_empty_is_followed_again_at_once(
    own_agent: ConsulAgent, service: ServiceName
) -> None:
    """Its index starts anew: asking with the old one would sit out the whole wait, a minute here."""
    async with backend_at(own_agent.address, wait_s=60.0) as backend:
        assert backend.registrar is not None
        for number in range(30):
            await put_service(own_agent, ServiceName("other"), f"i{number}", Port=80)
        async with aclosing(backend.watch.watch(service)) as stream:
            assert isinstance(await anext(stream), Gone)
            await asyncio.to_thread(own_agent.stop)
            lost = await first(stream, lambda u: isinstance(u, Failed))
            assert isinstance(lost, Failed)
            assert lost.reason == "unreachable"
            with pytest.raises(Unreachable):
                await backend.registrar.heartbeat(InstanceId("x"), Health.PASSING)
            await asyncio.to_thread(own_agent.start)
            await first(stream, lambda u: isinstance(u, Gone), within_s=15.0)
            await put_service(own_agent, service, "new", Port=80)
            assert set(seen(await first(stream, lambda u: bool(seen(u)), within_s=5.0))) == {"new"}


async def test_an_agent_that_freezes_is_given_up_after_the_deadline(
    own_agent: ConsulAgent, service: ServiceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays, and is silent for ever: Traefik stayed stale for 15 minutes like that."""
    monkeypatch.setattr("registry.blocking.SLACK_S", 0.3)
    monkeypatch.setattr(consul_backend, "CALL_S", 0.3)
    async with (
        backend_at(own_agent.address, wait_s=0.5) as backend,
        aclosing(backend.watch.watch(service)) as stream,
    ):
        assert isinstance(await anext(stream), Gone)
        own_agent.pause()
        try:
            frozen = await first(stream, lambda u: isinstance(u, Failed), within_s=5.0)
            assert frozen == Failed("unreachable", "no answer in time")
        finally:
            own_agent.resume()
        await put_service(own_agent, service, "new", Port=80)
        await first(stream, lambda u: bool(seen(u)), within_s=15.0)


async def test_an_index_that_goes_backwards_starts_anew() -> None:
    async with fake_agent(says([entry("a")], index="42")) as agent, backend_at(agent.address) as backend:
        async with aclosing(backend.watch.watch(WEB)) as stream:
            await anext(stream)
            agent.answers = says([entry("b")], index="10")
            assert set(seen(await anext(stream))) == {"b"}
            await anext(stream)
        assert [request.query.get("index") for request in agent.asked] == [None, "42", None]
        assert backend.watch.index_resets == 1


async def test_an_agent_that_says_index_zero_is_not_asked_in_a_loop() -> None:
    async with fake_agent(says([], index="0")) as agent, backend_at(agent.address) as backend:
        async with aclosing(backend.watch.watch(WEB)) as stream:
            started = time.monotonic()
            for _ in range(4):
                await anext(stream)
            assert time.monotonic() - started >= (4 - BURST) / QUERIES_PER_S - 0.05
        assert [request.query.get("index") for request in agent.asked] == [None, "1", "1", "1"]


# Several agents.


@pytest.fixture(scope="module")
def second_agent() -> Iterator[ConsulAgent]:
    """The fallback; no test stops it. It shares nothing with the first, so tests see who answered."""
    with consul_agent() as agent:
        yield agent


async def test_a_watch_takes_the_next_address_when_one_is_gone_and_starts_from_no_index(
    own_agent: ConsulAgent, second_agent: ConsulAgent, service: ServiceName
) -> None:
    await put_service(own_agent, service, "first", Port=80)
    await put_service(second_agent, service, "second", Port=80)
    fallback = (second_agent.address,)
    async with (
        backend_at(own_agent.address, fallback_addresses=fallback, wait_s=60.0) as backend,
        aclosing(backend.watch.watch(service)) as stream,
    ):
        assert set(seen(await anext(stream))) == {"first"}
        await asyncio.to_thread(own_agent.stop)
        try:
            lost = await first(stream, lambda u: isinstance(u, Failed))
            assert isinstance(lost, Failed)
            assert lost.reason == "unreachable"
            assert set(seen(await anext(stream))) == {"second"}, "at once, and with all there is"
            await put_service(second_agent, service, "third", Port=80)
            assert set(seen(await first(stream, lambda u: len(seen(u)) == 2))) == {"second", "third"}
            assert (backend.watch.failovers, backend.watch.index_resets) == (1, 0)
        finally:
            await asyncio.to_thread(own_agent.start)


async def test_a_frozen_agent_is_left_for_one_that_works(
    own_agent: ConsulAgent, second_agent: ConsulAgent, service: ServiceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.blocking.SLACK_S", 0.3)
    await put_service(second_agent, service, "second", Port=80)
    async with (
        backend_at(own_agent.address, fallback_addresses=(second_agent.address,), wait_s=0.5) as backend,
        aclosing(backend.watch.watch(service)) as stream,
    ):
        assert isinstance(await anext(stream), Gone)
        own_agent.pause()
        try:
            await first(stream, lambda u: isinstance(u, Failed), within_s=5.0)
            assert set(seen(await anext(stream))) == {"second"}
        finally:
            own_agent.resume()


async def test_who_had_to_leave_returns_to_the_first_address_once_it_answers(
    own_agent: ConsulAgent, second_agent: ConsulAgent, service: ServiceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.backends.shared.homeward.AFTER_S", 0.2)
    async with (
        backend_at(own_agent.address, fallback_addresses=(second_agent.address,), wait_s=0.5) as backend,
        aclosing(backend.watch.watch(service)) as stream,
    ):
        await anext(stream)
        await asyncio.to_thread(own_agent.stop)
        await first(stream, lambda u: isinstance(u, Failed))
        await first(stream, lambda u: not isinstance(u, Failed))
        await asyncio.to_thread(own_agent.start)
        await put_service(own_agent, service, "home", Port=80)
        told = await first(stream, lambda u: isinstance(u, Failed), within_s=15.0)
        assert told == Failed("moved", "another address of the registry is asked now")
        assert set(seen(await anext(stream))) == {"home"}
        assert backend.watch.failovers == 2


async def known_at(agent: ConsulAgent, instance: str) -> bool:
    url = f"http://{agent.address}/v1/agent/services"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return instance in await answer.json()


async def register_until_it_fails(registrar: Registrar, registration: Registration) -> None:
    """An agent that is just being stopped may still answer."""
    for _ in range(100):
        await registrar.register(registration)


async def test_a_registration_moves_with_its_agents_and_is_left_behind_nowhere(
    own_agent: ConsulAgent, second_agent: ConsulAgent, service: ServiceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_backend, "CALL_S", 1.5)
    monkeypatch.setattr("registry.backends.shared.homeward.AFTER_S", 0.2)
    one = Registration(InstanceId(service), service, 80, ttl_s=60.0)
    async with backend_at(own_agent.address, fallback_addresses=(second_agent.address,)) as backend:
        registrar = backend.registrar
        assert registrar is not None
        await registrar.register(one)
        own_agent.pause()
        try:
            with pytest.raises(Unreachable):
                await register_until_it_fails(registrar, one)
            with pytest.raises(NotRegistered):
                await registrar.heartbeat(one.id, Health.PASSING)
            await registrar.register(one)
            await registrar.heartbeat(one.id, Health.PASSING)
            assert await known_at(second_agent, service)
        finally:
            own_agent.resume()
        assert await known_at(own_agent, service), "it knows the instance still"
        async with asyncio.timeout(10):
            while await known_at(second_agent, service):
                try:
                    await registrar.heartbeat(one.id, Health.PASSING)
                except NotRegistered:  # by an agent that has only just come back; then one registers anew
                    await registrar.register(one)
        assert await known_at(own_agent, service)
        await registrar.deregister(one.id)
        assert not await known_at(own_agent, service)


async def test_a_deregistration_reaches_every_agent_that_may_know_the_instance(
    own_agent: ConsulAgent, second_agent: ConsulAgent, service: ServiceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_backend, "CALL_S", 1.5)
    one = Registration(InstanceId(service), service, 80)
    async with backend_at(own_agent.address, fallback_addresses=(second_agent.address,)) as backend:
        registrar = backend.registrar
        assert registrar is not None
        await registrar.register(one)
        own_agent.pause()
        try:
            with pytest.raises(Unreachable):
                await register_until_it_fails(registrar, one)
            await registrar.register(one)
        finally:
            own_agent.resume()
        assert await known_at(own_agent, service)
        assert await known_at(second_agent, service)
        await registrar.deregister(one.id)
        assert not await known_at(own_agent, service)
        assert not await known_at(second_agent, service)


async def test_an_agent_that_hangs_longer_than_its_caller_waits_is_left_too(
    second_agent: ConsulAgent, service: ServiceName
) -> None:
    """A caller that gives up cancels, and no error ever comes."""
    one = Registration(InstanceId(service), service, 80)
    async with (
        fake_agent(never_answers) as hanging,
        backend_at(hanging.address, fallback_addresses=(second_agent.address,)) as backend,
    ):
        registrar = backend.registrar
        assert registrar is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await registrar.register(one)
        await registrar.register(one)
        assert await known_at(second_agent, service)
        await registrar.deregister(one.id)


async def test_no_instance_may_be_at_any_of_the_agents(
    consul: ConsulAgent, second_agent: ConsulAgent, service: ServiceName
) -> None:
    await put_service(consul, service, "registry", Port=second_agent.port)
    update = await first_update(consul.address, service, fallback_addresses=(second_agent.address,))
    assert isinstance(update, Seen)
    assert [q.reason for q in update.quarantined] == ["not_allowed"]


async def test_loopback_is_believed_only_from_agents_that_are_all_here() -> None:
    async with fake_agent(says([entry("a")])) as agent:
        assert set(seen(await first_update(agent.address))) == {"a"}
        update = await first_update(agent.address, fallback_addresses=("10.0.0.1:8500",))
        assert not seen(update)


# What comes with an answer.


async def test_the_zone_is_that_of_the_service_or_of_its_node(
    consul: ConsulAgent, service: ServiceName
) -> None:
    for name, meta in (("own", {"zone": "b"}), ("nodes", {})):
        await put(
            consul,
            "/v1/catalog/register",
            {
                "Node": f"zoned-{service}",
                "Address": "10.0.0.1",
                "NodeMeta": {"zone": "a"},
                "Service": {"Service": service, "ID": name, "Port": 80, "Meta": meta},
            },
        )
    instances = seen(await first_update(consul.address, service))
    assert {name: i.zone for name, i in instances.items()} == {"own": "b", "nodes": "a"}


@pytest.mark.parametrize(
    ("answers", "note"),
    [
        (says([entry("a")]), None),
        (says([entry("a")], X_Consul_KnownLeader="true"), None),
        (says([entry("a")], X_Consul_KnownLeader="false"), "no_leader"),
        (says([], X_Consul_KnownLeader="false"), "no_leader"),
        (emptied_by_acls([entry("a")]), "filtered"),
    ],
)
async def test_what_is_amiss_with_an_answer_comes_with_it(answers: Answers, note: str | None) -> None:
    async with fake_agent(answers) as agent:
        update = await first_update(agent.address)
    assert isinstance(update, Seen | Gone)
    assert update.note == note


# Answers that are none.


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (emptied_by_acls([]), "denied"),
        (says("Permission denied", status=403), "denied"),
        (says("ACL support disabled", status=401), "denied"),
        (says("No cluster leader", status=500), "unreachable"),
        (says("slow down", status=429), "unreachable"),
        (cuts_the_body_off, "unreachable"),
        (never_answers, "unreachable"),
        (says("<html>not consul</html>"), "bad_answer"),
        (says("[" * 100_000), "bad_answer"),
        (says("null"), "bad_answer"),
        (says({"an": "object"}), "bad_answer"),
        (says([], index="many"), "bad_answer"),
        (says("not found", status=404), "bad_answer"),
        (redirects, "bad_answer"),
    ],
)
async def test_an_answer_that_can_not_be_believed_is_a_failure_and_no_empty_service(
    answers: Answers, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_backend, "CALL_S", 0.3)
    async with fake_agent(answers) as agent:
        update = await first_update(agent.address)
    assert isinstance(update, Failed)
    assert update.reason == reason
    assert 0 < len(update.detail) < 300


async def test_names_that_the_token_may_not_see_are_no_empty_catalogue() -> None:
    async with (
        fake_agent(emptied_by_acls({})) as agent,
        backend_at(agent.address) as backend,
        aclosing(backend.watch.watch_names()) as names,
    ):
        denied = await anext(names)
        assert isinstance(denied, Failed)
        assert denied.reason == "denied"
        agent.answers = says({"web": [], "consul": [], "../kv": [], "": []})
        assert await anext(names) == frozenset({WEB})
        agent.answers = says([1])
        broken = await anext(names)
        assert isinstance(broken, Failed)
        assert broken.reason == "bad_answer"


@pytest.mark.parametrize(
    "garbage", [None, 7, "x", [], {}, {"Service": 7}, {"Service": {"ID": 1}, "Checks": 5}]
)
async def test_garbage_among_instances_is_left_out_alone(garbage: object) -> None:
    async with fake_agent(says([garbage, entry("good")])) as agent:
        update = await first_update(agent.address)
    assert isinstance(update, Seen)
    assert set(seen(update)) == {"good"}
    assert len(update.quarantined) == 1


async def test_checks_that_can_not_be_read_are_not_passing() -> None:
    for checks in (None, "fine", [7], [{"Status": ["passing"]}]):
        async with fake_agent(says([entry("a") | {"Checks": checks}])) as agent:
            assert seen(await first_update(agent.address))["a"].health is Health.CRITICAL


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        (says("Permission denied", status=403), Denied),
        (says("no leader", status=500), Unreachable),
        (says("", status=404), NotRegistered),
        (says('Unknown check "service:x"', status=500), NotRegistered),
        (never_answers, Unreachable),
        (redirects, BadAnswer),
    ],
)
async def test_a_registrar_raises_nothing_but_registry_errors(
    answers: Answers, error: type[RegistryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_backend, "CALL_S", 0.3)
    async with fake_agent(answers) as agent, backend_at(agent.address) as backend:
        assert backend.registrar is not None
        with pytest.raises(error):
            await backend.registrar.heartbeat(InstanceId("x"), Health.PASSING)


# What goes out.


async def test_reads_are_stale_and_bounded() -> None:
    async with fake_agent(says([], index="5")) as agent, backend_at(agent.address, wait_s=2.5) as backend:
        async with aclosing(backend.watch.watch(WEB)) as stream:
            await anext(stream)
            await anext(stream)
        agent.answers = says({}, index="5")
        async with aclosing(backend.watch.watch_names()) as names:
            await anext(names)
    assert agent.paths == ["/v1/health/service/web"] * 2 + ["/v1/catalog/services"]
    assert all("stale" in request.query for request in agent.asked)
    assert "wait" not in agent.asked[0].query
    assert agent.asked[1].query["wait"] == "2500ms"


async def test_the_token_of_the_settings_is_used_before_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "of-the-environment")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    async with fake_agent(says([])) as agent:
        await first_update(agent.address, token="of-the-settings")
        await first_update(agent.address)
    tokens = [request.headers.get("X-Consul-Token") for request in agent.asked]
    assert tokens == ["of-the-settings", "of-the-environment"]


async def test_without_any_token_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    async with fake_agent(says([])) as agent:
        await first_update(agent.address)
    assert "X-Consul-Token" not in agent.asked[0].headers


@pytest.mark.parametrize("name", ["../../kv/secret", "a/b", "a?b", ""])
async def test_a_crafted_name_costs_no_query(name: str) -> None:
    async with fake_agent(says([])) as agent, backend_at(agent.address) as backend:
        with pytest.raises(ValueError, match="no service name"):
            backend.watch.watch(ServiceName(name))
        assert backend.registrar is not None
        for call in (
            backend.registrar.deregister(InstanceId(f"../{name}")),
            backend.registrar.heartbeat(InstanceId(f"../{name}"), Health.PASSING),
            backend.registrar.maintenance(InstanceId(f"../{name}"), enable=True),
        ):
            with pytest.raises(RegistryError):
                await call
        assert agent.paths == []


async def test_tls_with_an_authority_and_a_client_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = map(str, authority.issue("client"))
    async with fake_agent(says([entry("a")]), authority.server_that_wants_a_client_certificate()) as agent:
        trusted: dict[str, Any] = {"scheme": "https", "ca_file": str(authority.file)}
        ours: dict[str, Any] = {"cert_file": certificate, "key_file": key}
        assert seen(await first_update(agent.address, **trusted, **ours))
        lacking: dict[str, Any]
        for lacking in ({"scheme": "https", **ours}, {"scheme": "http"}, trusted):
            update = await first_update(agent.address, **lacking)
            assert isinstance(update, Failed), lacking


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"address": "127.0.0.1:port"}, "address"),
        ({"address": "::1"}, "address"),
        ({"fallback_addresses": ("10.0.0.1:8500", "::1")}, "fallback_addresses"),
        ({"token": "abc\n"}, "token"),
        ({"allowed_networks": ("10.0.0.1/8",)}, "allowed_networks"),
        ({"scheme": "https", "ca_file": "/nowhere/ca.pem"}, "No such file"),
        ({"static": {"a": ("nonsense",)}}, "http://host:port"),
    ],
)
async def test_settings_that_can_never_work_are_refused_at_once(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(RegistryError, match=named):
        async with open_backend(BackendSettings(**wrong)):
            pass


async def test_an_agent_that_is_down_is_no_reason_not_to_start() -> None:
    async with backend_at("127.0.0.1:1") as backend, aclosing(backend.watch.watch(WEB)) as stream:
        updates = [await anext(stream) for _ in range(3)]
    assert all(isinstance(update, Failed) and update.reason == "unreachable" for update in updates)


async def test_fixed_services_are_there_while_the_agent_is_down() -> None:
    fixed = {ServiceName("fixed"): ("http://127.0.0.1:9101",)}
    async with backend_at("127.0.0.1:1", static=fixed) as backend:
        async with aclosing(backend.watch.watch(ServiceName("fixed"))) as stream:
            assert set(seen(await anext(stream))) == {"127.0.0.1:9101"}
        async with aclosing(backend.watch.watch_names()) as names:
            assert isinstance(await anext(names), Failed)
        assert backend.watch.index_resets == 0
