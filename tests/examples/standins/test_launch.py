"""The command of an example, as a reader runs it; one example stands for all."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from examples.organisations.system import EXAMPLE
from examples.standins.launch import run_example
from tests.gateway.runtime.gateways import ask
from tests.gateway.runtime.test_demo import claimed_block, is_alive
from tests.servers import ROOT

WITHIN_S = 60.0


@asynccontextmanager
async def command(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"examples.{EXAMPLE.name}", "--port", str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()


async def words_of(process: asyncio.subprocess.Process) -> str:
    """What it says up to its welcome's last line."""
    assert process.stdout is not None
    words = ""
    async with asyncio.timeout(WITHIN_S):
        while "Ctrl-C stops" not in words:
            line = await process.stdout.readline()
            assert line, f"it ended: {words}"
            words += line.decode()
    return words


async def shell(line: str) -> str:
    process = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    return said.decode()


async def test_one_command_starts_all_of_it_and_ctrl_c_ends_all_of_it() -> None:
    claim, port = claimed_block()
    with claim:
        async with command(port) as process:
            words = await words_of(process)
            processes = [int(pid) for pid in re.findall(r"\((\d+)\)", words)]
            assert len(processes) == 1 + len(EXAMPLE.services)
            assert all(map(is_alive, processes))
            (line,) = re.findall(r"^  (curl .*)$", words, re.MULTILINE)
            assert '"access_token"' in await shell(line)
            assert (await ask(port, "GET", "/v1/client/me")).status == 401
        assert process.returncode == 0
        assert not any(map(is_alive, processes))


async def test_a_port_in_use_is_said_with_the_way_out(capfd: pytest.CaptureFixture[str]) -> None:
    claim, port = claimed_block()
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
    with claim:
        async with server:
            why = await run_example(EXAMPLE, port)
    assert why == "The gateway did not start; its words stand above. --port N uses other ports."
    said = "".join(capfd.readouterr())
    assert f"127.0.0.1:{port} is in use" in said
    assert "Traceback" not in said
