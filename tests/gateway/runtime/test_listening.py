"""Sockets that a process was given, and those it opens itself."""

import asyncio
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.runtime.client_request import ClientRequest
from gateway.runtime.handover import Predecessor
from gateway.runtime.http_server import HttpServer
from gateway.runtime.listening import AT_EACH_TURN, Listener, sockets_of_the_manager, taken_from
from gateway.runtime.serve import run
from gateway.settings import ListenSettings
from tests.balancer.origins import counts_requests, origin
from tests.gateway import programs
from tests.gateway.runtime.consuls import register_in
from tests.gateway.runtime.gateways import TURNED_AWAY, ready, refused, settings_text, turn_away
from tests.servers import ROOT, ConsulAgent

AS_SYSTEMD = 'exec 3<&{}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'


def test_nothing_was_given_where_nobody_says_so() -> None:
    assert sockets_of_the_manager({}) == []


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, None])
def test_what_can_not_be_listened_on_is_said(kind: socket.SocketKind | None, tmp_path: Path) -> None:
    """In a process of its own, whose third descriptor is that."""
    program = (
        "import os\n"
        "from gateway.runtime.listening import sockets_of_the_manager\n"
        "from gateway.runtime.rules import StartFailed\n"
        "try: sockets_of_the_manager({'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'})\n"
        "except StartFailed as failed: print(failed)\n"
    )
    with socket.socket(type=kind) if kind else open(tmp_path / "file", "w") as given:
        ran = subprocess.run(
            ["bash", "-c", f'exec 3<&{given.fileno()} "$0" -c "$1"', sys.executable, program],
            pass_fds=[given.fileno()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert ran.stdout.startswith("the service manager's sockets: "), ran


def test_many_connections_are_accepted_at_one_turn_of_the_loop() -> None:
    """However long a turn takes: counted in turns, on the loop that gateways run on."""

    async def turns_until_accepted(count: int) -> int:
        server = HttpServer(
            nobody_asks, refused, ListenSettings(), turn_away=turn_away, turned_away=lambda: TURNED_AWAY
        )
        listener = Listener(server, lambda: 0.1)
        await listener.start(at("127.0.0.1", 0), ())
        assert len(listener.sockets) == 1, "one socket is to be handed over, with all of its handles"
        with ExitStack() as clients:
            for _ in range(count):
                clients.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
            turns = 0
            while len(server.connections) < count:
                turns += 1
                await asyncio.sleep(0)
            await listener.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listener.port)).close()
        return turns

    assert run(turns_until_accepted(4 * AT_EACH_TURN)) <= 4 + 4


async def nobody_asks(_: ClientRequest) -> None:
    raise AssertionError("these clients only connect")


def at(host: str, port: int) -> ListenSettings:
    return ListenSettings(host=host, port=port)


def test_of_a_predecessors_sockets_those_are_taken_that_are_where_we_shall_listen() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.socket() as connection,
    ):
        port = one.getsockname()[1]
        for settings, expected in (
            (at("127.0.0.1", port), [one]),
            (at("localhost", port), [one]),
            (at("127.0.0.1", 0), [one, other]),
            (at("0.0.0.0", port), []),
        ):
            predecessor = Predecessor(connection, [one, other])
            assert taken_from(predecessor, settings) == expected
            assert predecessor.sockets == [each for each in (one, other) if each not in expected]


async def test_a_gateway_serves_on_the_socket_that_its_manager_has_opened(tmp_path: Path) -> None:
    """As systemd starts it: descriptor 3 listens, and the variables say for whom."""
    file = tmp_path / "quaymaster.yaml"
    file.write_text(settings_text(listen={"port": 1, "drain_s": 0}))
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        # The connection is made before anybody is there to accept it.
        early = asyncio.create_subprocess_exec(
            *("bash", "-c", AS_SYSTEMD.format(given.fileno()), "bash"),
            *(sys.executable, "-m", "gateway", "serve", "--config", str(file)),
            pass_fds=[given.fileno()],
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        with socket.create_connection(("127.0.0.1", port)) as client:
            process = await early
            await ready(port, within_s=programs.WITHIN_S)
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            client.settimeout(5)
            assert client.recv(20).startswith(b"HTTP/1.1 200")
        process.terminate()
        assert (await programs.ended(process)).code == 0
        # The socket is the manager's: it is still there for the next one.
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def test_who_waits_at_the_socket_is_served_once_the_instances_are_known(
    consul: ConsulAgent, tmp_path: Path
) -> None:
    """The request was sent before the process was started, so it is the first thing that it reads."""
    file = tmp_path / "quaymaster.yaml"
    routes = [{"path": "/open/*", "service": "waits-at-socket", "access": "public"}]
    registry = {"backend": "consul", "address": consul.address, "register_as": None}
    services: dict[str, object] = {"waits-at-socket": {}}
    file.write_text(settings_text(registry=registry, services=services, routes=routes, listen={"drain_s": 0}))
    async with origin(counts_requests) as there:
        await register_in(consul, "waits-at-socket", there.instance.port)
        with socket.create_server(("127.0.0.1", 0)) as given:
            reader, writer = await asyncio.open_connection(*given.getsockname())
            writer.write(b"GET /open/x HTTP/1.1\r\nHost: x\r\n\r\n")
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", AS_SYSTEMD.format(given.fileno()), "bash"),
                *(sys.executable, "-m", "gateway", "serve", "--config", str(file)),
                pass_fds=[given.fileno()],
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(programs.WITHIN_S):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
            process.terminate()
            assert (await programs.ended(process)).code == 0
