"""The life of a gateway's process: from its first signal to its end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.runtime.app import Gateway
from gateway.runtime.rules import StartFailed
from gateway.runtime.serve import run, serve, stop_signals
from gateway.settings import Settings
from tests.balancer.origins import Connection, counts_requests, origin, until
from tests.gateway import programs
from tests.gateway.runtime.gateways import ask, eventually, ready, request, settings_of, settings_text, wire
from tests.gateway.runtime.load import Load
from tests.servers import free_ports


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[Gateway, "asyncio.Task[None]"]]:
    """A gateway that this process serves, and the task that ends when it has ended."""
    begun: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(settings, begun.set_result))
        running = await begun
        await ready(running.port)
        try:
            yield running, serving
        finally:
            serving.cancel()


async def is_draining(port: int) -> bool:
    return (await ask(port, "GET", "/health/ready")).status == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_then_ends_it(number: signal.Signals) -> None:
    async with served(settings_of(listen={"drain_s": 0.3})) as (running, serving):
        os.kill(os.getpid(), number)
        await eventually(lambda: is_draining(running.port))
        assert (await ask(running.port, "GET", "/ping")).status == 200
        async with asyncio.timeout(5):
            await serving


async def test_a_second_signal_skips_the_draining() -> None:
    async with served(settings_of(listen={"drain_s": 600})) as (running, serving):
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: is_draining(running.port))
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await serving


async def test_what_can_not_start_says_so() -> None:
    async with served(settings_of()) as (running, _):
        with pytest.raises(StartFailed, match="is in use"):
            await serve(settings_of(listen={"port": running.port}))


async def test_signals_are_our_own_only_while_we_wait_for_them() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(5):
            await stop.wait()
    assert signal.getsignal(signal.SIGTERM) == before[0]


def test_run_returns_what_its_work_returns_on_uvloop() -> None:
    async def work() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(work()).startswith("uvloop")


async def answers_late(connection: Connection) -> None:
    await connection.request()
    await connection.origin.go.wait()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")


async def test_sigterm_under_load_loses_nothing_and_ends_with_0(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    routes = [
        {"path": "/open/*", "service": "auth", "access": "public"},
        {"path": "/late", "service": "late", "access": "public"},
    ]
    async with origin(counts_requests) as there, origin(answers_late) as late:
        services = {
            "auth": {"instances": [f"http://127.0.0.1:{there.instance.port}"]},
            "late": {"instances": [f"http://127.0.0.1:{late.instance.port}"]},
        }
        file = tmp_path / "quaymaster.yaml"
        listen = {"port": port, "drain_s": 0.5}
        limits = {"per_address": None}
        file.write_text(settings_text(services=services, routes=routes, listen=listen, limits=limits))
        async with programs.serving(port, "serve", "--config", file) as process:
            async with Load(port) as load, wire(port) as client:
                await client.say(request("GET", "/late"))
                await until(lambda: late.requests)
                await load.more(50)
                process.send_signal(signal.SIGTERM)
                await eventually(lambda: is_draining(port))
                await load.more(20)
                answered = {status for status in load.statuses.values() if isinstance(status, int)}
                assert answered == {200}
                # What asks anew after the draining finds a closed door; what was let in is finished.
                await until(lambda: load.failed)
                late.go.set()
                assert (await client.answer()).body == b"late"
            ran = await programs.ended(process)
        assert ran.code == 0
        assert not {status for status in load.statuses.values() if isinstance(status, int)} - {200}
        assert "Traceback" not in ran.err
