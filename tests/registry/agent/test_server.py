import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from registry.agent import AgentLimits, CannotListen, EmbeddedAgent, JournalError
from registry.model import RegistryError
from tests.registry.agent.talk import Curl
from tests.registry.waiting import until
from tests.servers import ROOT

SERVICE = {
    "ID": "web-1",
    "Name": "web",
    "Port": 80,
    "Tags": ["a"],
    "Meta": {"k": "v"},
    "Weights": {"Passing": 5, "Warning": 1},
    "Checks": [
        {"CheckID": "starts-passing", "TTL": "60s", "Status": "passing"},
        {"CheckID": "starts-critical", "TTL": "60s"},
    ],
}


async def test_port_zero_takes_a_free_one_and_the_address_says_which() -> None:
    agent = EmbeddedAgent("127.0.0.1", 0)
    async with agent:
        assert not agent.address.endswith(":0")
        assert agent.address in repr(agent)
        async with Curl(agent.address) as curl:
            assert await curl.get("status/leader") == agent.address


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]", "0.0.0.0"])
async def test_other_ways_to_say_where(host: str) -> None:
    async with EmbeddedAgent(host, 0) as agent:
        reached = agent.address.replace("0.0.0.0", "127.0.0.1")
        async with Curl(reached) as curl:
            await curl.put("agent/service/register", {"Name": "x"})
            (entry,) = await curl.get("health/service/x")
    assert entry["Node"]["Address"] in ("127.0.0.1", "::1")


async def test_a_name_may_ask_where_other_machines_do() -> None:
    async with (
        EmbeddedAgent("0.0.0.0", 0) as agent,
        Curl(agent.address.replace("0.0.0.0", "127.0.0.1")) as curl,
    ):
        answer = await curl("GET", "agent/services", headers={"Host": "agent.internal"})
    assert answer.status == 200


async def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            async with EmbeddedAgent("127.0.0.1", port):
                pass
    assert isinstance(caught.value, RegistryError)
    assert str(caught.value) == (
        f"registry.address: 127.0.0.1:{port} is in use, perhaps by a Consul agent: choose another port, "
        "or set registry.backend to consul to use that agent"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.invalid"])
async def test_an_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(CannotListen, match=f"can't listen at {host}:8500"):
        async with EmbeddedAgent(host, 8500):
            pass


async def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListen):
        async with EmbeddedAgent("127.0.0.1", taken.getsockname()[1], data_dir=str(tmp_path)):
            pass
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)):
        pass
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_inside_is_not_wrapped() -> None:
    with pytest.raises(ZeroDivisionError):
        async with EmbeddedAgent("127.0.0.1", 0):
            raise ZeroDivisionError


async def test_a_journal_in_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.agent.journal.LOCK_WAIT_S", 0.01)
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)):
        with pytest.raises(JournalError, match="in use by another agent"):
            async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)):
                pass


async def test_to_stop_lets_waiters_go_with_an_answer() -> None:
    agent = EmbeddedAgent("127.0.0.1", 0)
    async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        async with agent:
            curl = await stack.enter_async_context(Curl(agent.address))
            question = f"catalog/services?index={(await curl('GET', 'catalog/services')).index}"
            waiter = group.create_task(curl("GET", question))
            await until(lambda: agent.waiting == 1)
        assert (await waiter).status == 200


async def test_a_critical_service_is_forgotten() -> None:
    limits = AgentLimits(min_deregister_s=0.02)
    async with EmbeddedAgent("127.0.0.1", 0, limits=limits) as agent, Curl(agent.address) as curl:
        check = {"TTL": "10ms", "DeregisterCriticalServiceAfter": "20ms"}
        await curl.put("agent/service/register", {"Name": "web", "Check": check})
        async with asyncio.timeout(10):
            while await curl.get("agent/services"):
                pass


async def test_registrations_survive_and_checks_start_anew(tmp_path: Path) -> None:
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)) as agent, Curl(agent.address) as curl:
        await curl.put("agent/service/register", SERVICE)
        await curl.put("agent/check/pass/starts-critical?note=fine")
        await curl.put("agent/check/fail/starts-passing")
        before = await curl.get("agent/services")
        first_life = (await curl("GET", "health/service/web")).index
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)) as agent, Curl(agent.address) as curl:
        assert await curl.get("agent/services") == before
        checks = await curl.get("agent/checks")
        assert {id: check["Status"] for id, check in checks.items()} == {
            "starts-passing": "passing",
            "starts-critical": "critical",
        }
        second_life = (await curl("GET", "health/service/web")).index
    assert second_life > first_life


AGENT = """
import asyncio, sys
from registry.agent import EmbeddedAgent

async def main():
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=sys.argv[1]) as agent:
        sys.stderr.write(agent.address + chr(10))
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, str(tmp_path), cwd=ROOT, stdout=DEVNULL, stderr=PIPE
    )
    assert process.stderr is not None
    try:
        address = (await process.stderr.readline()).decode().strip()
        async with Curl(address) as curl:
            await curl.put("agent/service/register", SERVICE)
            await curl.put("agent/service/register", {"Name": "gone"})
            await curl.put("agent/service/deregister/gone")
            process.kill()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    async with EmbeddedAgent("127.0.0.1", 0, data_dir=str(tmp_path)) as agent, Curl(agent.address) as curl:
        (service,) = (await curl.get("agent/services")).values()
    assert (service["ID"], service["Meta"], service["Weights"]["Passing"]) == ("web-1", {"k": "v"}, 5)
