"""A whole gateway on its bad days: instances killed, and the registry gone, stuck, or not there yet."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.runtime.app import Gateway
from tests.balancer.origins import Origin, counts_requests, origin
from tests.gateway.runtime.consuls import deregister, register_in
from tests.gateway.runtime.gateways import ROUTES, ask, eventually, ready, settings_of, until_idle
from tests.gateway.runtime.load import WORKERS, Load
from tests.servers import ROOT, ConsulAgent, consul_agent, free_ports, wait_for_port


def behind(consul: ConsulAgent, service: str) -> dict[str, Any]:
    """The settings of a gateway that finds `service` in Consul."""
    return {
        "registry": {"backend": "consul", "address": consul.address, "register_as": None},
        "services": {service: {}},
        "routes": [{**ROUTES[0], "service": service}],
        "limits": {"per_address": None},
    }


@asynccontextmanager
async def gateway_behind(consul: ConsulAgent, service: str) -> AsyncIterator[int]:
    async with Gateway(settings_of(**behind(consul, service))) as running:
        await ready(running.port)
        yield running.port


# Instances


@contextmanager
def instances(folder: Path, count: int) -> Iterator[dict[int, "subprocess.Popen[bytes]"]]:
    """Processes by port, each of which writes what it has executed to `folder`."""
    ports = free_ports(count)
    started = {
        port: subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.runtime.instance", str(port), str(folder / str(port))],
            cwd=ROOT,
        )
        for port in ports
    }
    try:
        for port, process in started.items():
            wait_for_port(port, process)
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait(10)


@asynccontextmanager
async def three_of(
    consul: ConsulAgent, service: str, folder: Path
) -> AsyncIterator[list["subprocess.Popen[bytes]"]]:
    """Three instances in Consul, with a check that does not notice when one is killed: the worst case."""
    with instances(folder, 3) as started:
        for port in started:
            await register_in(consul, service, port)
        try:
            yield list(started.values())
        finally:
            for port in started:
                await deregister(consul, f"{service}-{port}")


def executed_by_each(folder: Path) -> list[int]:
    return [len(file.read_text().splitlines()) for file in folder.iterdir()]


def executed(folder: Path) -> Counter[str]:
    return Counter(line for file in folder.iterdir() for line in file.read_text().splitlines())


async def test_no_get_fails_when_one_of_three_instances_is_killed(
    consul: ConsulAgent, tmp_path: Path
) -> None:
    async with (
        three_of(consul, "outage-get", tmp_path) as processes,
        gateway_behind(consul, "outage-get") as port,
    ):
        async with Load(port) as load:
            await load.more(100)
            processes[0].send_signal(signal.SIGKILL)
            await load.more(400)
        assert load.failed == {}
        assert min(executed_by_each(tmp_path)) > 0
        await until_idle(port)


async def test_a_post_is_executed_at_most_once_when_one_of_three_instances_is_killed(
    consul: ConsulAgent, tmp_path: Path
) -> None:
    async with (
        three_of(consul, "outage-post", tmp_path) as processes,
        gateway_behind(consul, "outage-post") as port,
    ):
        async with Load(port, "POST") as load:
            await load.more(100)
            processes[0].send_signal(signal.SIGKILL)
            await load.more(400)
        await until_idle(port)
        times = executed(tmp_path)
        assert set(times.values()) == {1}
        answered = {name for name, status in load.statuses.items() if status == 200}
        assert answered <= set(times)
        # Only what the killed instance had in hand can be lost.
        assert len(load.failed) <= WORKERS
        assert set(load.failed.values()) <= {502}


# The registry


@pytest.fixture
def own_consul() -> Iterator[ConsulAgent]:
    with consul_agent() as agent:
        yield agent


async def test_no_request_fails_while_consul_is_stuck_or_gone_and_discovery_resumes(
    own_consul: ConsulAgent,
) -> None:
    async with (
        origin(counts_requests) as one,
        origin(counts_requests) as two,
        origin(counts_requests) as after_stuck,
        origin(counts_requests) as after_gone,
    ):
        for there in (one, two):
            await register_in(own_consul, "outage", there.instance.port)
        async with gateway_behind(own_consul, "outage") as port, Load(port) as load:
            await load.more(50)
            own_consul.pause()
            await load.more(200)
            own_consul.resume()
            await register_in(own_consul, "outage", after_stuck.instance.port)
            await until_called(after_stuck)

            own_consul.stop()
            await load.more(200)
            # It comes back and knows nobody: that must not be believed at once.
            await asyncio.to_thread(own_consul.start)
            await load.more(50)
            await register_in(own_consul, "outage", after_gone.instance.port)
            await until_called(after_gone)
            await load.more(50)
        assert load.failed == {}


async def until_called(there: Origin) -> None:
    async def is_called() -> bool:
        return there.requests > 0

    await eventually(is_called, within_s=15)


async def test_a_gateway_that_starts_before_consul_serves_by_itself_once_it_is_there() -> None:
    consul = ConsulAgent()
    async with origin(counts_requests) as there, Gateway(settings_of(**behind(consul, "late"))) as running:
        assert (await ask(running.port, "GET", "/health/live")).status == 200
        assert (await ask(running.port, "GET", "/health/ready")).status == 503
        refused = await ask(running.port, "GET", "/open/x")
        assert (refused.status, refused.json()["reason"]) == (503, "registry_unreachable")
        try:
            await asyncio.to_thread(consul.start)
            await register_in(consul, "late", there.instance.port)
            await ready(running.port, within_s=15)

            async def serves() -> bool:
                return (await ask(running.port, "GET", "/open/x")).status == 200

            await eventually(serves)
        finally:
            await asyncio.to_thread(consul.stop)


async def test_a_gateway_that_starts_while_consul_is_down_serves_the_last_good_state(
    own_consul: ConsulAgent, tmp_path: Path
) -> None:
    settings, file = behind(own_consul, "saved"), tmp_path / "last.json"
    settings["registry"]["snapshot_file"] = str(file)

    async def is_saved() -> bool:
        return file.exists() and b"saved" in file.read_bytes()

    async def is_believed_again() -> bool:
        return await source_of(second.port, "saved") == "registry"

    async with origin(counts_requests) as there:
        await register_in(own_consul, "saved", there.instance.port)
        async with Gateway(settings_of(**settings)) as first:
            await ready(first.port)
            await eventually(is_saved)
        own_consul.stop()
        async with Gateway(settings_of(**settings)) as second:
            await ready(second.port)
            assert await source_of(second.port, "saved") == "disk"
            assert (await ask(second.port, "GET", "/open/x")).status == 200
            await asyncio.to_thread(own_consul.start)
            await register_in(own_consul, "saved", there.instance.port)
            await eventually(is_believed_again, within_s=15)
            assert (await ask(second.port, "GET", "/open/x")).status == 200


async def source_of(port: int, service: str) -> str:
    """Where the gateway has its view of a service from."""
    found = (await ask(port, "GET", "/health/detailed")).json()["services"][service]
    return str(found["source"])


async def test_where_one_agent_is_gone_the_next_is_asked(consul: ConsulAgent) -> None:
    settings, (nobody,) = behind(consul, "fallback"), free_ports(1)
    settings["registry"] |= {"address": f"127.0.0.1:{nobody}", "fallback_addresses": [consul.address]}
    async with origin(counts_requests) as there:
        await register_in(consul, "fallback", there.instance.port)
        try:
            async with Gateway(settings_of(**settings)) as running:
                await ready(running.port)
                assert (await ask(running.port, "GET", "/open/x")).status == 200
        finally:
            await deregister(consul, f"fallback-{there.instance.port}")
