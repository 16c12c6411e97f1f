"""The life of a gateway's process: from its first signal to its end."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.runtime.app import Gateway
from gateway.runtime.rules import StartFailed
from gateway.runtime.serve import run, serve, stop_signals
from gateway.runtime.settings_source import SettingsSource
from gateway.settings import Settings
from tests.balancer.origins import Connection, Origin, counts_requests, origin, until
from tests.gateway import programs
from tests.gateway.runtime.gateways import ask, eventually, ready, request, settings_of, settings_text, wire
from tests.gateway.runtime.load import WORKERS, Load
from tests.servers import free_ports


@asynccontextmanager
async def served(
    settings: Settings, source: SettingsSource | None = None
) -> AsyncIterator[tuple[Gateway, "asyncio.Task[None]"]]:
    """A gateway that this process serves, and the task that ends when it has ended."""
    begun: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(settings, source, begun.set_result))
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


async def test_a_hangup_reloads_and_while_draining_does_nothing_at_all() -> None:
    settings = settings_of(listen={"drain_s": 0.3})
    source = SettingsSource(None, environment={}, text=settings_text(listen={"drain_s": 0.3}))
    async with served(settings, source) as (running, serving):
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: running.reloads.counts == {"applied": 1})
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: is_draining(running.port))
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            await serving
        assert running.reloads.counts == {"applied": 1}


async def test_every_answer_of_a_draining_gateway_ends_its_connection() -> None:
    async with served(settings_of(listen={"drain_s": 600})) as (running, _), wire(running.port) as client:
        await client.say(request("GET", "/ping"))
        assert not (await client.answer()).all("Connection")
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: is_draining(running.port))
        await client.say(request("GET", "/ping"))
        assert (await client.answer()).one("Connection") == "close"
        assert await client.rest() == b""


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


async def test_twenty_reloads_under_load_lose_no_call_and_no_count(tmp_path: Path) -> None:
    """By SIGHUP, and each fourth time by the swap of a link alone; each with another table of routes."""
    (port,) = free_ports(1)
    link, routes = tmp_path / "..data", [{"path": "/open/*", "service": "auth", "access": "public"}]

    def publish(number: int, text: str) -> None:
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "quaymaster.yaml").write_text(text)
        link.with_name("..next").symlink_to(f"..{number}")
        link.with_name("..next").rename(link)

    async with origin(counts_requests) as there:

        def text(number: int) -> str:
            added = {"path": f"/only-{number}", "service": "auth", "access": "public"}
            listen, limits = {"port": port, "drain_s": 0}, {"per_address": None}
            return settings_text(there.instance, routes=[*routes, added], listen=listen, limits=limits)

        publish(0, text(0))
        async with programs.serving(port, "serve", "--config", link / "quaymaster.yaml") as process:
            async with Load(port) as load:
                for number in range(1, 21):

                    async def is_in_force(path: str = f"/only-{number}") -> bool:
                        return (await ask(port, "GET", path)).status == 200

                    publish(number, text(number))
                    if number % 4:
                        process.send_signal(signal.SIGHUP)
                    await eventually(is_in_force)
                    await load.more(5)
                    assert (await ask(port, "GET", f"/only-{number - 1}")).status == 404
                publish(21, "listen: {prot: 1}")
                await eventually(lambda: has_refused(port))
                await load.more(20)
            # Whoever was asked at the load's end has no answer, and may be counted or not.
            assert load.failed == {}
            counted = await counted_calls(port)
            assert len(load.statuses) <= counted <= len(load.statuses) + WORKERS
            settings = (await ask(port, "GET", "/health/detailed")).json()["settings"]
            assert "listen.prot" in settings["error"]
            process.send_signal(signal.SIGTERM)
            ran = await programs.ended(process)
        assert ran.code == 0
        assert json.loads(ran.err.splitlines()[-1])["event"] == "settings_refused"


async def test_a_hangup_moves_a_service_to_other_addresses_and_loses_no_call(tmp_path: Path) -> None:
    """From one fixed address to another, and back: none is kept, so a registry's answer would be doubted."""
    (port,) = free_ports(1)
    file = tmp_path / "quaymaster.yaml"
    async with origin(counts_requests) as one, origin(counts_requests) as other:

        def text(there: Origin) -> str:
            listen = {"port": port, "drain_s": 0}
            return settings_text(there.instance, listen=listen, limits={"per_address": None})

        file.write_text(text(one))
        async with programs.serving(port, "serve", "--config", file) as process:
            async with Load(port) as load, Load(port, "POST", keep=False) as anew:
                for there, left in ((other, one), (one, other), (other, one)):
                    await load.more(20)
                    file.write_text(text(there))
                    process.send_signal(signal.SIGHUP)
                    await until(partial(moved, there, there.requests))
                    await anew.more(2 * WORKERS)  # those that had chosen before are over
                    asked = left.requests
                    await load.more(20)
                    assert left.requests == asked
            assert {**load.failed, **anew.failed} == {}
            process.send_signal(signal.SIGTERM)
            ran = await programs.ended(process)
        assert (ran.code, ran.err) == (0, "")


def moved(there: Origin, before: int) -> bool:
    return there.requests > before


async def counted_calls(port: int) -> int:
    """By the gateway's own metric, whatever they were answered."""
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    return sum(map(int, re.findall(r'requests_total\{.*route="/open/\*"\} (\d+)', metrics)))


async def has_refused(port: int) -> bool:
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    return 'quaymaster_settings_reloads_total{result="refused"} 1.0' in metrics


async def test_gateways_that_take_over_from_each_other_lose_no_call(tmp_path: Path) -> None:
    """POSTs on kept connections, which nobody repeats, and others that connect for each."""
    (port,) = free_ports(1)
    file = tmp_path / "quaymaster.yaml"
    async with origin(counts_requests) as there, AsyncExitStack() as life:
        listen = {"port": port, "drain_s": 0.5, "handover": str(tmp_path / "handover")}
        file.write_text(settings_text(there.instance, listen=listen, limits={"per_address": None}))
        running = await life.enter_async_context(programs.serving(port, "serve", "--config", file))
        async with Load(port, "POST") as kept, Load(port, "POST", keep=False) as anew:
            for _ in range(2):
                successor = await programs.start("serve", "--config", file)
                life.push_async_callback(killed, successor)
                ran = await programs.ended(running)
                assert (ran.code, "Traceback" in ran.err) == (0, False)
                running = successor
                await kept.more(20)
                await anew.more(20)
        assert {**kept.failed, **anew.failed} == {}
        answered = len(kept.statuses) + len(anew.statuses)
        assert answered <= there.requests <= answered + 2 * WORKERS, "each was carried out once"
        running.send_signal(signal.SIGTERM)
        assert (await programs.ended(running)).code == 0
        assert not (tmp_path / "handover").exists()


async def killed(process: asyncio.subprocess.Process) -> None:
    """For one that a failure has left behind."""
    if process.returncode is None:
        process.kill()
        await process.communicate()
