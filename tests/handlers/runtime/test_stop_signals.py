"""Signals to real processes: what they do first, and that a second one is enough."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from handlers.runtime.stop_signals import stop_signals
from tests.servers import ROOT

PROGRAM = """
import asyncio
import sys
from aiohttp import web
from handlers.runtime.stop_signals import stop, stop_signals

def begin():
    print("begun", flush=True)
    if sys.argv[1] == "ends":
        asyncio.get_running_loop().call_soon(stop)

async def life(app):
    with stop_signals(begin):
        print("ready", flush=True)
        yield
    print("over", flush=True)

app = web.Application()
app.cleanup_ctx.append(life)
web.run_app(app, host="127.0.0.1", port=0, print=None)
"""


@asynccontextmanager
async def program(how: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, how, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_begins_what_ends_in_a_stop(number: signal.Signals) -> None:
    async with program("ends") as process:
        assert await line(process) == "ready"
        process.send_signal(number)
        assert [await line(process), await line(process)] == ["begun", "over"]
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_second_signal_does_not_wait_for_the_first_ones_end() -> None:
    async with program("never ends") as process:
        assert await line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert await line(process) == "begun"
        process.send_signal(signal.SIGTERM)
        assert await line(process) == "over"
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_signals_that_are_the_systems_own_stay_so() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is before
