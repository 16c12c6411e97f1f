"""The wiring: a gateway that starts whole or not at all, and leaves nothing behind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.runtime.app import Gateway, software_version
from gateway.runtime.rules import StartFailed
from tests.balancer.origins import Connection, Origin, counts_requests, never_answers, origin, until
from tests.gateway.runtime.consuls import registered
from tests.gateway.runtime.gateways import (
    NOWHERE,
    ask,
    eventually,
    gateway,
    in_flight,
    ready,
    request,
    settings_of,
    until_idle,
    wire,
)
from tests.servers import ConsulAgent, free_ports


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def taken_port() -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield somebody.getsockname()[1]


async def start_failure(**sections: Any) -> str:
    with pytest.raises(StartFailed) as raised:
        async with Gateway(settings_of(**sections)):
            pass
    return str(raised.value)


# Start


async def test_it_listens_where_it_says_and_not_afterwards() -> None:
    async with gateway() as running:
        port = running.port
        assert port > 0
        assert await listens(port)
    assert not await listens(port)


async def test_a_port_in_use_is_named_with_the_way_out() -> None:
    async with taken_port() as port:
        said = await start_failure(listen={"port": port})
        assert said == f"listen.port: 127.0.0.1:{port} is in use; stop what listens there or set another port"


async def test_an_address_of_somebody_else_is_named() -> None:
    assert (await start_failure(listen={"host": "203.0.113.7"})).startswith("listen.host: ")


async def test_what_had_started_before_a_failure_is_stopped_again() -> None:
    """The embedded agent listens first; when the gateway's port is taken, it must go too."""
    (agent,) = free_ports(1)
    registry = {"backend": "embedded", "address": f"127.0.0.1:{agent}"}
    async with taken_port() as port:
        await start_failure(listen={"port": port}, registry=registry)
    assert not await listens(agent)


async def test_an_agents_port_in_use_is_named() -> None:
    async with taken_port() as port:
        said = await start_failure(registry={"backend": "embedded", "address": f"127.0.0.1:{port}"})
        assert str(port) in said


async def test_a_key_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    identity = {"algorithms": ["RS256"], "secret": None, "public_key_file": str(missing)}
    assert (await start_failure(identity=identity)).startswith("identity.public_key_file: can't be read: ")
    missing.write_text("not a key")
    assert (await start_failure(identity=identity)).startswith("identity.public_key_file: ")


def test_the_version_is_that_of_the_package() -> None:
    assert software_version() in ("source", "0.1.0")


async def test_two_gateways_in_one_process_do_not_know_of_each_other() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as one, gateway() as other:
        assert (await ask(one.port, "GET", "/open/x")).status == 200
        assert (await ask(other.port, "GET", "/open/x")).status == 502
        metrics = (await ask(other.port, "GET", "/metrics")).body.decode()
        assert 'code="200",method="GET",route="/open/*"' not in metrics


async def test_without_a_pool_there_are_no_endpoints_for_it() -> None:
    async with gateway(handlers=None) as running:
        for path in ("/get_websocket_handler", "/handlers/locate"):
            assert (await ask(running.port, "GET", path)).status == 404


async def test_nothing_of_later_is_announced() -> None:
    async with gateway() as running:
        for path in ("/dashboard", "/admin"):
            assert (await ask(running.port, "GET", path)).status == 404


# New settings


async def test_new_routes_limits_and_networks_hold_for_a_kept_connection_too() -> None:
    targets = ("/open/x", "/new/x", "/health/detailed")
    async with (
        origin(counts_requests) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):

        async def status(target: str) -> int:
            await client.say(request("GET", target))
            return (await client.answer()).status

        assert [await status(target) for target in targets] == [200, 404, 200]
        routes = [{"path": "/new/*", "service": "auth", "access": "public"}]
        nobody = {"networks": ["192.0.2.0/24"]}
        wanted = settings_of(there.instance, routes=routes, internal=nobody, limits={"per_address": 3})
        assert await running.follow(wanted) == ()
        assert [await status(target) for target in targets] == [404, 200, 403]
        assert [await status("/new/x") for _ in range(2)] == [200, 429], "the first one before counts too"


async def test_a_call_under_way_is_finished_and_counted_by_the_settings_it_began_with() -> None:
    async with (
        origin(answers_late) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        await client.say(request("GET", "/open/x"))
        await until(lambda: there.requests)
        routes = [{"path": "/else/*", "service": "auth", "access": "internal"}]
        await running.follow(settings_of(there.instance, routes=routes))
        assert await in_flight(running.port) == 1
        there.go.set()
        assert (await client.answer()).body == b"late"
        await until_idle(running.port)
        metrics = (await ask(running.port, "GET", "/metrics")).body.decode()
        assert 'quaymaster_requests_total{code="200",method="GET",route="/open/*"} 1.0' in metrics


async def test_a_service_that_is_new_is_looked_for(consul: ConsulAgent) -> None:
    registry = {"backend": "consul", "address": consul.address}
    routes = [{"path": "/*", "service": "later", "access": "public"}]
    async with gateway(registry=registry) as running:
        wanted = settings_of(registry=registry, services={"later": {}}, routes=routes)
        assert await running.follow(wanted) == ()

        async def is_watched() -> bool:
            services = (await ask(running.port, "GET", "/health/detailed")).json()["services"]
            return "later" in services

        await eventually(is_watched)


async def test_fixed_addresses_change_between_two_calls() -> None:
    """From three to another one: what a registry said of them would be doubted, the settings are not."""
    async with AsyncExitStack() as life:
        before = [await life.enter_async_context(origin(counts_requests)) for _ in range(3)]
        after, more = [await life.enter_async_context(origin(counts_requests)) for _ in range(2)]
        running = await life.enter_async_context(gateway(*(each.instance for each in before)))

        async def called(there: Origin) -> bool:
            asked = there.requests
            assert (await ask(running.port, "GET", "/open/x")).status == 200
            return there.requests > asked

        for there in before:
            await eventually(partial(called, there))
        assert await running.follow(settings_of(after.instance)) == ()
        await eventually(partial(called, after))
        counts = [there.requests for there in before]
        for _ in range(5):
            assert await called(after)
        assert await running.follow(settings_of(after.instance, more.instance)) == ()
        await eventually(partial(called, more))
        assert [there.requests for there in before] == counts


async def test_a_service_that_has_gone_from_the_settings_is_unknown() -> None:
    legacy = {"auth": {"instances": [NOWHERE]}, "legacy": {"instances": [NOWHERE]}}
    question = "/get_service_instance?service_name=legacy"
    async with gateway(services=legacy) as running:
        assert (await ask(running.port, "GET", question)).status == 200
        assert await running.follow(settings_of()) == ()

        async def is_unknown() -> bool:
            return (await ask(running.port, "GET", question)).status == 404

        await eventually(is_unknown)


async def test_a_key_that_can_not_be_read_leaves_all_as_it_was(tmp_path: Path) -> None:
    async with gateway() as running:
        identity = {"algorithms": ["RS256"], "secret": None, "public_key_file": str(tmp_path / "none")}
        wanted = settings_of(identity=identity, routes=[])
        with pytest.raises(StartFailed, match=r"identity\.public_key_file"):
            await running.follow(wanted)
        assert (await ask(running.port, "GET", "/mine/x")).status == 401, "the route is still there"


async def test_what_the_kept_settings_do_not_allow_is_refused() -> None:
    async with gateway() as running:
        wanted = settings_of(services={"more": {}}, registry={"backend": "consul"})
        with pytest.raises(StartFailed, match=r"services\.more\.instances"):
            await running.follow(wanted)


# In the registry


def registering(consul: ConsulAgent, name: str) -> dict[str, Any]:
    return {
        "registry": {"backend": "consul", "address": consul.address, "register_as": name},
        "services": {"auth": {}},
    }


async def test_it_registers_itself_and_is_gone_at_its_end(consul: ConsulAgent) -> None:
    async with Gateway(settings_of(**registering(consul, "front-door"))) as running:

        async def is_registered() -> bool:
            return await registered(consul, "front-door") == [f"front-door-127.0.0.1-{running.port}"]

        await eventually(is_registered)
    assert await registered(consul, "front-door") == []


async def test_draining_takes_it_out_of_the_registry_first(consul: ConsulAgent) -> None:
    settings = settings_of(**registering(consul, "front-door-drained"))
    async with Gateway(settings) as running:
        await ready(running.port)
        await running.drain()
        assert await registered(consul, "front-door-drained") == []
        assert (await ask(running.port, "GET", "/ping")).status == 200


async def test_it_gives_the_address_it_is_told_to(consul: ConsulAgent) -> None:
    sections = registering(consul, "front-door-elsewhere")
    sections["registry"]["advertise_address"] = "gateway.example"
    async with Gateway(settings_of(**sections)) as running:
        assert await registered(consul, "front-door-elsewhere") == [
            f"front-door-elsewhere-gateway.example-{running.port}"
        ]


# In another one's place


async def test_a_successor_keeps_the_registration_and_the_old_one_leaves_it(
    consul: ConsulAgent, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    sections = registering(consul, "front-door-followed")
    sections["listen"] = {"port": port, "handover": str(tmp_path / "handover")}
    name = f"front-door-followed-127.0.0.1-{port}"
    async with AsyncExitStack() as old_life:
        old = await old_life.enter_async_context(Gateway(settings_of(**sections)))
        await ready(port)
        async with Gateway(settings_of(**sections)) as new:
            await old.replaced.wait()
            await old.drain()
            assert new.port == port
            await old_life.aclose()
            assert await registered(consul, "front-door-followed") == [name]
            assert (await ask(port, "GET", "/health/ready")).status == 200
        assert await registered(consul, "front-door-followed") == []


async def test_a_successor_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    listen = {"port": port, "handover": str(tmp_path / "handover")}
    async with gateway(listen=listen) as old, taken_port() as taken:
        identity = {"algorithms": ["RS256"], "secret": None, "public_key_file": str(tmp_path / "none")}
        await start_failure(listen=listen, identity=identity)
        await start_failure(listen={**listen, "port": taken})
        assert not old.replaced.is_set()
        assert (await ask(port, "GET", "/ping")).status == 200
        async with gateway(listen=listen):
            await old.replaced.wait()


# End


async def answers_late(connection: Connection) -> None:
    await connection.request()
    await connection.origin.go.wait()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")


async def test_what_is_in_flight_at_the_end_is_finished() -> None:
    async with origin(answers_late) as there, AsyncExitStack() as life:
        running = await life.enter_async_context(gateway(there.instance))
        async with wire(running.port) as client, wire(running.port) as idle, asyncio.TaskGroup() as group:
            await idle.say(request("GET", "/ping"))
            await idle.answer()
            await client.say(request("GET", "/open/x"))
            await until(lambda: there.requests)
            ending = group.create_task(life.aclose())
            assert await idle.rest() == b"", "nothing keeps a connection that asks nothing"
            assert not ending.done()
            there.go.set()
            assert (await client.answer()).body == b"late"


async def test_what_takes_longer_than_it_may_is_cut_off() -> None:
    async with origin(never_answers) as there, AsyncExitStack() as life:
        impatient = gateway(there.instance, listen={"shutdown_timeout_s": 0.2})
        running = await life.enter_async_context(impatient)
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x"))
            await until(lambda: there.requests)
            async with asyncio.timeout(5):
                await life.aclose()
            assert await client.rest() == b""
        await until(lambda: there.open_connections == 0)
