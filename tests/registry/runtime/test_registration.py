import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from registry.agent import EmbeddedAgent
from registry.backends import load_backend
from registry.backends.base import BackendSettings
from registry.model import Gone, Health, Instance, Seen, ServiceName
from registry.runtime.registration import register
from tests.registry.waiting import until
from tests.servers import ROOT, ConsulAgent, free_ports

WEB = ServiceName("web")

AN_APPLICATION = """
import sys
from aiohttp import web
from registry.runtime.registration import register

async def hello(request):
    return web.Response(text="hello")

app = web.Application()
app.router.add_get("/", hello)
register(app, name=sys.argv[1], port=int(sys.argv[2]), consul=sys.argv[3], propagation_s=float(sys.argv[4]))
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), print=None)
"""


@contextmanager
def application(
    service: str, port: int, consul: str, propagation_s: float
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", AN_APPLICATION, service, str(port), consul, str(propagation_s)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@asynccontextmanager
async def instances_of(service: ServiceName, address: str) -> AsyncIterator[list[Instance]]:
    """What a reader of the registry sees, kept up to date in the list."""
    seen: list[Instance] = []

    async def follow() -> None:
        async with (
            load_backend("consul")(BackendSettings(address, wait_s=1.0)) as backend,
            aclosing(backend.watch.watch(service)) as stream,
        ):
            async for update in stream:
                if isinstance(update, Seen | Gone):
                    seen[:] = update.instances if isinstance(update, Seen) else ()

    task = asyncio.get_running_loop().create_task(follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def status_of(port: int) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        return answer.status


async def ended(process: "subprocess.Popen[bytes]") -> int:
    return await asyncio.to_thread(process.wait, 20)


async def test_on_sigterm_it_is_gone_from_the_registry_while_it_still_serves(consul: ConsulAgent) -> None:
    (port,) = free_ports(1)
    service = ServiceName(f"app-{port}")
    async with instances_of(service, consul.address) as instances:
        with application(service, port, consul.address, 1.0) as process:
            await until(lambda: [i.health for i in instances] == [Health.PASSING], within_s=30)
            (instance,) = instances
            assert instance.port == port
            assert instance.incarnation.isdigit()
            assert await status_of(port) == 200
            process.send_signal(signal.SIGTERM)
            await until(lambda: not instances)
            gone = time.monotonic()
            assert await status_of(port) == 200
            assert await ended(process) == 0
            assert time.monotonic() - gone >= 0.8


async def test_a_second_signal_stops_at_once(consul: ConsulAgent) -> None:
    (port,) = free_ports(1)
    service = ServiceName(f"app-{port}")
    async with instances_of(service, consul.address) as instances:
        with application(service, port, consul.address, 60.0) as process:
            await until(lambda: bool(instances), within_s=30)
            process.send_signal(signal.SIGINT)
            await until(lambda: not instances)
            process.send_signal(signal.SIGTERM)
            assert await ended(process) == 0


# In this process, under a runner that leaves signals alone.


@asynccontextmanager
async def running(consul: str, **more: Any) -> AsyncIterator[int]:
    (port,) = free_ports(1)
    app = web.Application()
    register(app, name="web", port=port, consul=consul, **more)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield port
    finally:
        await runner.cleanup()


async def test_all_that_is_said_of_it_arrives() -> None:
    async with EmbeddedAgent("127.0.0.1", 0) as agent, instances_of(WEB, agent.address) as instances:
        async with running(
            agent.address, id="web-7", address="127.0.0.1", tags=["v1"], meta={"zone": "a"}, weight=3
        ) as port:
            await until(lambda: bool(instances))
            (one,) = instances
            assert (one.id, one.port, one.tags, one.weight) == ("web-7", port, ("v1",), 3)
            assert one.meta == {"zone": "a", "incarnation": one.incarnation}
        await until(lambda: not instances)


async def test_an_http_check_replaces_the_ttl() -> None:
    async with (
        EmbeddedAgent("127.0.0.1", 0) as agent,
        instances_of(WEB, agent.address) as instances,
        running(agent.address, check_http="http://127.0.0.1:1/"),
    ):
        await until(lambda: [i.health for i in instances] == [Health.CRITICAL])


async def test_its_own_id_says_where_it_is_and_stays_the_same() -> None:
    async with (
        EmbeddedAgent("127.0.0.1", 0) as agent,
        instances_of(WEB, agent.address) as instances,
        running(agent.address) as port,
    ):
        await until(lambda: bool(instances))
        assert instances[0].id.startswith("web-")
        assert instances[0].id.endswith(f"-{port}")


async def test_while_the_agent_is_down_the_application_serves_and_is_registered_later() -> None:
    (agent_port,) = free_ports(1)
    async with running(f"127.0.0.1:{agent_port}") as port:
        assert await status_of(port) == 404
        async with (
            EmbeddedAgent("127.0.0.1", agent_port) as agent,
            instances_of(WEB, agent.address) as instances,
        ):
            await until(lambda: bool(instances), within_s=20)


async def test_signals_that_nobody_else_handles_are_left_alone() -> None:
    async with EmbeddedAgent("127.0.0.1", 0) as agent, running(agent.address):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": "../kv", "port": 80}, "name"),
        ({"name": "web", "port": 80, "id": "a/b"}, "id"),
        ({"name": "web", "port": 0}, "port"),
        ({"name": "web", "port": 70000}, "port"),
    ],
)
def test_what_can_not_be_registered_is_an_error_at_the_call(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        register(web.Application(), **wrong)


async def test_while_the_first_agent_is_away_the_next_one_has_it(consul: ConsulAgent) -> None:
    (nobody,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        service = ServiceName(f"app-{port}")
        app = web.Application()
        register(app, name=service, port=port, consul=f"127.0.0.1:{nobody}", fallbacks=[consul.address])
        runner = web.AppRunner(app)
        async with instances_of(service, consul.address) as instances:
            await runner.setup()
            try:
                await until(lambda: [i.health for i in instances] == [Health.PASSING])
            finally:
                await runner.cleanup()
            await until(lambda: not instances)
