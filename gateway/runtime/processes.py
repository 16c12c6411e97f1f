"""Child processes that live no longer than this one: for `quaymaster demo`."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import structlog

from registry.runtime.tasks import Tasks

log = structlog.get_logger()

STOP_S = 8.0
"""How long a child may take to stop before it is killed."""


class Spec(Protocol):
    """What to start: as `examples.chat.system.ProcessSpec`."""

    @property
    def name(self) -> str: ...
    @property
    def argv(self) -> Sequence[str]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def health_url(self) -> str: ...


@dataclass(slots=True)
class Child:
    spec: Spec
    process: asyncio.subprocess.Process

    @property
    def running(self) -> bool:
        return self.process.returncode is None


class Processes:
    """An async context manager: starts on `start`, stops all at its end, the last first.

    What dies before is reported in the log and not started again: in a demo one wants to see a death.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is what all of them get, beneath their own; this process's if not given."""
        self._environment = dict(os.environ if environment is None else environment)
        self.children: list[Child] = []
        self._stopping = False
        self._tasks = Tasks(lambda name, error: log.error("task_died", task=name, exc_info=error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for child in self.children:
            _send(child, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                for child in self.children:
                    await child.process.wait()
        except TimeoutError:
            for child in self.children:
                _send(child, signal.SIGKILL)
            for child in self.children:
                await child.process.wait()
        await self._tasks.close()

    async def start(self, spec: Spec) -> Child:
        """Starts one. Ctrl-C reaches only this process, which then stops its children in order."""
        process = await asyncio.create_subprocess_exec(
            *spec.argv, env={**self._environment, **spec.env}, start_new_session=True
        )
        child = Child(spec, process)
        self.children.append(child)
        self._tasks.start(f"watch {spec.name}", self._watch(child))
        return child

    async def healthy(self, child: Child, timeout_s: float = 20.0) -> bool:
        """Waits until it answers its health check. False when it died or took too long."""
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            deadline = asyncio.get_running_loop().time() + timeout_s
            while child.running and asyncio.get_running_loop().time() < deadline:
                try:
                    async with session.get(child.spec.health_url) as answer:
                        if answer.status == 200:
                            return True
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.1)
        return False

    async def _watch(self, child: Child) -> None:
        code = await child.process.wait()
        if not self._stopping:
            log.warning("process_ended", name=child.spec.name, pid=child.process.pid, code=code)


def _send(child: Child, number: signal.Signals) -> None:
    if child.running:
        child.process.send_signal(number)
