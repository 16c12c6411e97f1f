"""`python -m gateway …` in processes of their own, as an operator runs it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.runtime.gateways import ready
from tests.servers import ROOT

WITHIN_S = 30.0

OURS = ("JWT_SECRET", "INTERNAL_KEY", "HANDLER_SECRET", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


async def start(*arguments: str | Path, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """The command, started. What this machine's environment says of the gateway is not passed on."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in OURS and not name.startswith("QUAYMASTER__")
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *map(str, arguments)),
        cwd=ROOT,
        env={**inherited, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process, within_s: float = WITHIN_S) -> Ran:
    """Waits for its end, and kills it when that does not come."""
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"it did not end: {out.decode()}{err.decode()}") from None
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    return await ended(await start(*arguments, env=env))


@asynccontextmanager
async def serving(
    port: int, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, once it is ready on that port; killed at the end if it still runs."""
    process = await start(*arguments, env=env)
    try:
        await listening(process, port)
        await ready(port)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def listening(process: asyncio.subprocess.Process, port: int) -> None:
    """Returns once somebody accepts connections; fails when the process ends instead."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            if process.returncode is not None:
                raise AssertionError(f"it ended: {await ended(process)}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
