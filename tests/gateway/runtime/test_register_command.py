"""On a real agent, with real programs."""

import asyncio
import sys

import pytest

from gateway.runtime.register_command import RegisterFacts, agent_settings, run_program
from registry.backends.base import BackendSettings
from tests.gateway.runtime.consuls import registered
from tests.gateway.runtime.gateways import eventually
from tests.servers import ConsulAgent, free_ports

LISTENS_UNTIL_ASKED = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    said = connection.recv(16)
    connection.close()
    if said == b"stop":
        sys.exit(7)
"""


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_a_program_is_registered_while_it_runs_and_its_exit_status_is_passed_on(
    consul: ConsulAgent, scheme: str
) -> None:
    (port,) = free_ports(1)
    facts = RegisterFacts(
        command=(sys.executable, "-c", LISTENS_UNTIL_ASKED, str(port)),
        name="any-program",
        port=port,
        id="any-program-1",
        address="127.0.0.1",
        consul=scheme + consul.address,
        propagation_s=0,
    )

    async def is_registered() -> bool:
        return await registered(consul, "any-program") == ["any-program-1"]

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_program(facts))
        await eventually(is_registered)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"stop")
        await writer.drain()
        writer.close()
    assert running.result() == 7
    assert await registered(consul, "any-program") == []


@pytest.mark.parametrize(
    ("consul", "scheme", "address"),
    [
        ("127.0.0.1:8500", "http", "127.0.0.1:8500"),
        ("consul", "http", "consul"),
        ("http://127.0.0.1:8500", "http", "127.0.0.1:8500"),
        ("https://consul.internal:8501/", "https", "consul.internal:8501"),
        ("HTTPS://[::1]:8501", "https", "[::1]:8501"),
    ],
)
def test_the_agent_is_named_with_or_without_a_scheme(consul: str, scheme: str, address: str) -> None:
    assert agent_settings(consul, "t") == BackendSettings(address=address, scheme=scheme, token="t")


async def test_a_program_is_registered_whatever_its_machine_is_called(
    consul: ConsulAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "jo's laptop")
    (port,) = free_ports(1)
    facts = RegisterFacts(
        command=(sys.executable, "-c", "raise SystemExit(3)"),
        name="odd-host",
        port=port,
        consul=consul.address,
        propagation_s=0,
    )
    assert await run_program(facts) == 3


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (RegisterFacts(("true",), name="../kv", port=1), "--name '../kv': use letters"),
        (RegisterFacts(("true",), name="web", port=1, id="a/b"), "--id 'a/b'"),
        (RegisterFacts(("true",), name="web", port=1, consul="127.0.0.1:x"), "--consul 127.0.0.1:x: "),
        (
            RegisterFacts(("true",), name="web", port=1, consul="unix:///run/consul.sock"),
            "--consul unix:///run/consul.sock: write host:port, http://host:port or https://host:port",
        ),
        (
            RegisterFacts(("true",), name="web", port=1, consul="http://127.0.0.1:8500/path"),
            "--consul http://127.0.0.1:8500/path: ",
        ),
        (
            RegisterFacts(("/no/such/program",), name="web", port=1, consul="127.0.0.1:9"),
            "/no/such/program: can't be started: No such file",
        ),
    ],
    ids=["name", "id", "consul", "scheme", "path", "command"],
)
async def test_what_can_never_work_is_said_in_one_line(facts: RegisterFacts, said: str) -> None:
    outcome = await run_program(facts)
    assert isinstance(outcome, str)
    assert outcome.startswith(said)
    assert "\n" not in outcome


def test_the_token_is_in_no_representation() -> None:
    assert "secret-token" not in repr(RegisterFacts(("true",), name="web", port=1, token="secret-token"))
