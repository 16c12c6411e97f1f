"""What every backend promises. A newcomer in `BACKENDS` is tested here before its author writes a test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from registry.backends import BACKENDS, load_backend
from registry.backends.base import Backend, BackendSettings, Registrar, Registration
from registry.model import (
    Gone,
    Health,
    Instance,
    InstanceId,
    NotRegistered,
    RegistryError,
    Seen,
    ServiceName,
    Update,
)
from tests.registry.waiting import first
from tests.servers import free_ports

NAMES: Iterator[str] = (f"contract-{number}" for number in count())


@pytest.fixture
def service() -> ServiceName:
    """A name of its own for every test: the real agent is shared."""
    return ServiceName(next(NAMES))


READ_ONLY = {"static"}
"""Where nothing can be registered."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        registers = "registrar" in metafunc.fixturenames
        metafunc.parametrize("name", [n for n in BACKENDS if not (registers and n in READ_ONLY)])


@pytest.fixture
def settings(request: pytest.FixtureRequest, name: str) -> BackendSettings:
    """Settings under which each backend works on this machine."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    if name == "consul":
        address = request.getfixturevalue("consul").address
    fixed: dict[ServiceName, tuple[str, ...]] = {
        ServiceName("fixed"): ("http://127.0.0.1:9101", "https://localhost:9102")
    }
    return BackendSettings(address=address, wait_s=1.0, static=fixed)


@pytest.fixture
async def backend(name: str, settings: BackendSettings) -> AsyncIterator[Backend]:
    async with load_backend(name)(settings) as backend:
        yield backend


@pytest.fixture
def registrar(backend: Backend) -> Registrar:
    assert backend.registrar is not None
    return backend.registrar


def registration(service: ServiceName, name: str = "one", **more: Any) -> Registration:
    one = Registration(InstanceId(f"{service}-{name}"), service, 9001, address="127.0.0.1")
    return replace(one, **more)


def seen(update: Update) -> dict[str, Instance]:
    return {i.id: i for i in update.instances} if isinstance(update, Seen) else {}


async def instance_when(backend: Backend, service: ServiceName, health: Health) -> Instance:
    """The service's only instance, once it has that health."""
    async with aclosing(backend.watch.watch(service)) as stream:
        update = await first(stream, lambda u: [i.health for i in seen(u).values()] == [health])
    (instance,) = seen(update).values()
    return instance


async def test_only_the_read_only_ones_have_no_registrar(name: str, backend: Backend) -> None:
    assert (backend.registrar is None) == (name in READ_ONLY)


async def test_a_service_that_nobody_knows_is_gone(backend: Backend, service: ServiceName) -> None:
    async with aclosing(backend.watch.watch(service)) as stream:
        assert isinstance(await first(stream, lambda _: True), Gone)


async def test_fixed_addresses_are_seen_beside_any_registry(backend: Backend) -> None:
    async with aclosing(backend.watch.watch(ServiceName("fixed"))) as stream:
        update = await first(stream, lambda _: True)
    instances = seen(update)
    assert {i.url for i in instances.values()} == {"http://127.0.0.1:9101", "https://localhost:9102"}
    assert set(instances) == {"127.0.0.1:9101", "localhost:9102"}
    assert {i.ip for i in instances.values()} == {"127.0.0.1"}
    async with aclosing(backend.watch.watch_names()) as names:
        assert await first(names, lambda known: isinstance(known, frozenset) and "fixed" in known)


async def test_watching_costs_no_index_reset_and_can_be_stopped_any_time(
    backend: Backend, service: ServiceName
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            stream = await stack.enter_async_context(aclosing(backend.watch.watch(service)))
            await anext(stream)
    assert backend.watch.index_resets == 0
    assert await anext(stream, None) is None


async def test_a_registration_is_seen_with_all_it_says(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    async with aclosing(backend.watch.watch(service)) as stream:
        assert isinstance(await anext(stream), Gone)
        await registrar.register(
            registration(service, tags=("v1", "eu"), meta={"zone": "a", "incarnation": "77"}, weight=5)
        )
        update = await first(stream, lambda u: bool(seen(u)))
    (instance,) = seen(update).values()
    assert instance.id == f"{service}-one"
    assert (instance.host, instance.ip, instance.port) == ("127.0.0.1", "127.0.0.1", 9001)
    assert (instance.health, instance.weight) == (Health.PASSING, 5)
    assert sorted(instance.tags) == ["eu", "v1"]
    assert instance.meta == {"zone": "a", "incarnation": "77"}
    assert (instance.incarnation, instance.zone) == ("77", "a")
    async with aclosing(backend.watch.watch_names()) as names:
        await first(names, lambda known: isinstance(known, frozenset) and service in known)


async def test_without_an_address_it_is_at_the_agents_node(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    await registrar.register(registration(service, address=""))
    assert (await instance_when(backend, service, Health.PASSING)).ip == "127.0.0.1"


async def test_what_is_deregistered_is_gone_and_may_be_deregistered_again(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    await registrar.register(registration(service))
    await registrar.register(registration(service, "two", port=9002))
    async with aclosing(backend.watch.watch(service)) as stream:
        await first(stream, lambda u: len(seen(u)) == 2)
        await registrar.deregister(InstanceId(f"{service}-one"))
        await first(stream, lambda u: set(seen(u)) == {f"{service}-two"})
        await registrar.deregister(InstanceId(f"{service}-two"))
        await first(stream, lambda u: isinstance(u, Gone))
    await registrar.deregister(InstanceId(f"{service}-two"))


async def test_heartbeats_say_how_it_is(backend: Backend, registrar: Registrar, service: ServiceName) -> None:
    one = registration(service, weight=10)
    await registrar.register(one)
    await registrar.heartbeat(one.id, Health.CRITICAL, "out of memory")
    await instance_when(backend, service, Health.CRITICAL)
    await registrar.heartbeat(one.id, Health.WARNING, "nearly out of memory")
    assert (await instance_when(backend, service, Health.WARNING)).weight == 5
    await registrar.heartbeat(one.id, Health.PASSING)
    assert (await instance_when(backend, service, Health.PASSING)).weight == 10


async def test_without_a_heartbeat_it_turns_critical(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    await registrar.register(registration(service, ttl_s=0.3))
    await instance_when(backend, service, Health.CRITICAL)


async def test_registering_again_replaces_and_starts_passing(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    one = registration(service)
    await registrar.register(one)
    await registrar.heartbeat(one.id, Health.CRITICAL)
    await instance_when(backend, service, Health.CRITICAL)
    await registrar.register(registration(service, port=9009))
    assert (await instance_when(backend, service, Health.PASSING)).port == 9009


async def test_a_forgotten_instance_is_told_so(registrar: Registrar, service: ServiceName) -> None:
    nobody = InstanceId(f"{service}-nobody")
    with pytest.raises(NotRegistered):
        await registrar.heartbeat(nobody, Health.PASSING)
    with pytest.raises(NotRegistered):
        await registrar.maintenance(nobody, enable=True)
    by_http = registration(service, check_http="http://127.0.0.1:1/", ttl_s=None, interval_s=60)
    await registrar.register(by_http)
    await registrar.heartbeat(by_http.id, Health.PASSING)
    await registrar.deregister(by_http.id)
    with pytest.raises(NotRegistered):
        await registrar.heartbeat(by_http.id, Health.PASSING)


async def test_maintenance_takes_it_out_of_use_and_back_and_outlives_a_new_registration(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    one = registration(service)
    await registrar.register(one)
    await registrar.maintenance(one.id, enable=True, reason="disk swap, rack 4")
    await instance_when(backend, service, Health.MAINTENANCE)
    await registrar.register(one)
    await instance_when(backend, service, Health.MAINTENANCE)
    await registrar.maintenance(one.id, enable=False)
    await instance_when(backend, service, Health.PASSING)


async def test_an_http_check_is_asked_by_the_agent(
    backend: Backend, registrar: Registrar, service: ServiceName
) -> None:
    (port,) = free_ports(1)
    server = await asyncio.start_server(_healthy, "127.0.0.1", port)
    async with server:
        await registrar.register(
            registration(service, check_http=f"http://127.0.0.1:{port}/", ttl_s=None, interval_s=0.2)
        )
        await instance_when(backend, service, Health.PASSING)
    await instance_when(backend, service, Health.CRITICAL)


async def _healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": InstanceId("../../kv/x")},
        {"id": InstanceId("")},
        {"service": ServiceName("a/b")},
        {"port": 0},
        {"port": 70000},
        {"ttl_s": None},
    ],
    ids=str,
)
async def test_what_can_not_be_registered_is_a_registry_error(
    registrar: Registrar, service: ServiceName, wrong: dict[str, Any]
) -> None:
    with pytest.raises(RegistryError):
        await registrar.register(replace(registration(service), **wrong))
