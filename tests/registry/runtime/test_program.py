"""Real programs, real signals. Signals go to this process only while its handlers are in place."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from registry.backends.base import Registration
from registry.model import InstanceId, ServiceName
from registry.runtime import program as program_module
from registry.runtime.program import run_registered
from tests.registry.told_registrar import ToldRegistrar
from tests.registry.waiting import until
from tests.servers import free_ports

WRITES_WHAT_REACHES_IT = """
import signal, socket, sys
port, notes, stops_on = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1), sys.argv[3].split(",")
def note(number, _):
    name = signal.Signals(number).name
    notes.write(name + "\\n")
    if name in stops_on:
        sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
server = socket.create_server(("127.0.0.1", port))
while True:
    signal.pause()
"""


@pytest.fixture
def registrar() -> ToldRegistrar:
    return ToldRegistrar()


class Running:
    """`run_registered` at work on a program that notes the signals it gets."""

    def __init__(self, notes: Path, port: int) -> None:
        self._notes = notes
        self.port = port
        self.result: asyncio.Task[int]

    def reached(self) -> list[str]:
        return self._notes.read_text().split()


@asynccontextmanager
async def running(
    registrar: ToldRegistrar, folder: Path, stops_on: str = "SIGTERM", propagation_s: float = 0.0
) -> AsyncIterator[Running]:
    (port,) = free_ports(1)
    notes = folder / "notes"
    notes.touch()
    run = Running(notes, port)
    command = [sys.executable, "-c", WRITES_WHAT_REACHES_IT, str(port), str(notes), stops_on]
    work = run_registered(registrar, registration(port), command, propagation_s)
    run.result = asyncio.get_running_loop().create_task(work)
    await until(lambda: bool(registrar.there))
    try:
        yield run
    finally:
        run.result.cancel()
        await asyncio.wait([run.result])


def registration(port: int) -> Registration:
    return Registration(InstanceId("p-1"), ServiceName("p"), port)


async def result(registrar: ToldRegistrar, *command: str) -> int:
    return await run_registered(registrar, registration(free_ports(1)[0]), command, 0.0)


async def test_it_is_deregistered_first_and_stopped_when_everybody_has_heard(
    registrar: ToldRegistrar, tmp_path: Path
) -> None:
    async with running(registrar, tmp_path, propagation_s=0.3) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not registrar.there)
        deregistered = time.monotonic()
        assert run.reached() == []
        await until(lambda: run.reached() == ["SIGTERM"])
        assert time.monotonic() - deregistered >= 0.25
        assert await run.result == 7


async def test_a_second_signal_does_not_wait(registrar: ToldRegistrar, tmp_path: Path) -> None:
    async with running(registrar, tmp_path, stops_on="SIGINT", propagation_s=60.0) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not registrar.there)
        os.kill(os.getpid(), signal.SIGINT)
        assert await run.result == 7
        assert run.reached() == ["SIGINT"]


async def test_other_signals_are_passed_on_and_change_nothing(
    registrar: ToldRegistrar, tmp_path: Path
) -> None:
    async with running(registrar, tmp_path) as run:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        await until(lambda: sorted(run.reached()) == ["SIGHUP", "SIGUSR1"])
        assert registrar.there
        assert not run.result.done()


async def test_handlers_are_given_back(registrar: ToldRegistrar) -> None:
    assert await result(registrar, "true") == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("command", "code"), [(["true"], 0), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], 137)]
)
async def test_a_program_that_dies_early_leaves_its_code_and_no_registration(
    registrar: ToldRegistrar, command: Sequence[str], code: int
) -> None:
    assert await result(registrar, *command) == code
    assert registrar.calls == []


async def test_a_program_that_dies_while_it_is_being_registered_leaves_no_registration(
    registrar: ToldRegistrar, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    flag = tmp_path / "die"
    dies = (
        "import os, socket, time\n"
        f"server = socket.create_server(('127.0.0.1', {port}))\n"
        f"while not os.path.exists({str(flag)!r}): time.sleep(0.01)"
    )
    registrar.hangs()
    work = run_registered(registrar, registration(port), [sys.executable, "-c", dies], 0.0)
    running = asyncio.get_running_loop().create_task(work)
    await until(lambda: registrar.waiting == 1)
    flag.touch()
    registrar.answers_again()
    await running
    assert registrar.there == {}


async def test_a_program_that_does_not_exist_is_an_error_and_nothing_is_registered(
    registrar: ToldRegistrar,
) -> None:
    with pytest.raises(FileNotFoundError):
        await result(registrar, "/no/such/program")
    assert registrar.calls == []


@pytest.mark.parametrize("stops_on", ["SIGTERM", "nothing"])
async def test_when_we_are_cancelled_the_program_ends_too(
    registrar: ToldRegistrar, tmp_path: Path, stops_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "KILL_AFTER_S", 0.1)
    async with running(registrar, tmp_path, stops_on=stops_on) as run:
        run.result.cancel()
        await asyncio.wait([run.result])
        assert run.reached() == ["SIGTERM"]
    assert registrar.there == {}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", run.port)
