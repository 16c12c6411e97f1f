"""The whole chat system in processes of its own, as `quaymaster demo` runs it, with deaths on demand."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from examples.chat import system
from examples.chat.system import ProcessSpec
from gateway.runtime.processes import Child, Processes

SETTINGS = Path(system.__file__).with_name("quaymaster.yaml")
AGENT_PORT_OFFSET = 50
WITHIN_S = 20.0


class Town:
    """A gateway, one auth, one matching, handlers WSH1 to WSH3 and the page."""

    def __init__(self, processes: Processes, specs: dict[str, ProcessSpec], port: int, key: str) -> None:
        self._processes = processes
        self._specs = specs
        self._children: dict[str, Child] = {}
        self._key = key
        self.url = f"http://127.0.0.1:{port}"

    async def start(self, *names: str) -> None:
        """Starts them all at once, and returns when each is healthy."""
        for name in names:
            self._children[name] = await self._processes.start(self._specs[name])
        for name in names:
            assert await self._processes.healthy(self._children[name], WITHIN_S), f"{name} does not start"

    async def open(self) -> None:
        """Returns once the gateway has found the page."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(WITHIN_S):
            while True:
                async with session.get(self.url) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)

    async def kill(self, name: str) -> None:
        """As `kill -9` does it."""
        await self._end(name, signal.SIGKILL)

    async def stop(self, name: str) -> None:
        """As a deployment does it."""
        await self._end(name, signal.SIGTERM)

    async def _end(self, name: str, how: signal.Signals) -> None:
        process = self._children[name].process
        process.send_signal(how)
        async with asyncio.timeout(WITHIN_S):
            await process.wait()

    async def drain(self, handler: str, deadline_s: float) -> None:
        """As an operator does it."""
        async with (
            aiohttp.ClientSession(headers={"X-Internal-Key": self._key}) as session,
            session.post(
                f"{self.url}/admin/handlers/{handler}/drain", json={"deadline_s": deadline_s}
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """All of it, once it is up."""
    port = free_block()
    made = {"JWT_SECRET": secrets.token_urlsafe(48), "INTERNAL_KEY": secrets.token_urlsafe(48)}
    agent = f"127.0.0.1:{port + AGENT_PORT_OFFSET}"
    overrides = {
        "listen.port": port,
        "listen.drain_s": 0,
        "listen.shutdown_timeout_s": 1,
        "registry.address": agent,
        "registry.data_dir": folder / "registry",
        "logging.level": "error",
    }
    set_them = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
    gateway = ProcessSpec(
        "gateway",
        (sys.executable, "-m", "gateway", "serve", "--config", str(SETTINGS), *set_them),
        made | {"HANDLER_SECRET": secrets.token_urlsafe(48)},
        f"http://127.0.0.1:{port}/health/live",
    )
    specs = {spec.name: spec for spec in system.plan(port, agent, folder, made)} | {"gateway": gateway}
    async with Processes({**os.environ, "LOG_LEVEL": "error"}) as processes:
        made_town = Town(processes, specs, port, made["INTERNAL_KEY"])
        await made_town.start("gateway", "auth-1", "matching-1", "WSH1", "WSH2", "WSH3", "chat-page-1")
        await made_town.open()
        yield made_town


def free_block() -> int:
    """A port whose followers are free too. Test runs beside this one most likely look elsewhere."""
    first = os.getpid() % 150
    blocks = [22_000 + 60 * ((first + step) % 150) for step in range(150)]
    return next(port for port in blocks if all(map(_is_free, range(port, port + 60))))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
