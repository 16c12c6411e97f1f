"""Asks what the system depends on, now and then, each dependency in a task of its own.

Whoever wants to know how things stand reads `states`: nobody's request waits for an answer.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Self

import structlog

from gateway.health_probes import Found, ProbeState, ProbeTarget, read_probe_url
from gateway.probes import load_probe
from gateway.probes.base import Ask
from gateway.settings import ProbeSettings
from registry.exhaustion import is_out_of_resources
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

AFTER_A_BUG_S = 1.0


class Probing:
    """An async context manager. `follow` says what is asked."""

    def __init__(
        self,
        *,
        rng: Random,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[str], Ask] = load_probe,
    ) -> None:
        self._rng = rng
        self._clock = clock
        self._load = load
        self._tasks = Tasks(self._died)
        self._asked: dict[str, ProbeSettings] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._states: dict[str, ProbeState] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked = {}
        await self._tasks.close()

    @property
    def states(self) -> tuple[ProbeState, ...]:
        """All that are asked, in the order of the settings."""
        return tuple(self._states.values())

    def follow(self, probes: Mapping[str, ProbeSettings]) -> None:
        """Asks these from now on, and no others. What is known of one whose settings are the same stays."""
        before, self._asked = self._asked, {n: probe for n, probe in probes.items() if probe.url is not None}
        for name in before:
            if self._asked.get(name) != before[name]:
                self._running.pop(name).cancel()
                del self._states[name]
        known, self._states = self._states, {}
        for name, probe in self._asked.items():
            assert probe.url is not None
            target = read_probe_url(probe.url.get_secret_value())
            self._states[name] = known.get(name) or ProbeState(name, target.kind, probe.required)
            if name not in self._running:
                self._start(name, target)

    def _start(self, name: str, target: ProbeTarget, after_s: float = 0.0) -> None:
        self._running[name] = self._tasks.start(f"probe {name}", self._run(name, target, after_s))

    async def _run(self, name: str, target: ProbeTarget, after_s: float) -> None:
        await asyncio.sleep(after_s)
        probe = self._asked[name]
        ask = self._load(target.kind)
        while True:
            await asyncio.sleep(self._states[name].pause_s(probe.interval_s, self._rng.random()))
            started = self._clock()
            found = await ask_once(ask, target, probe.timeout_s)
            self._take(name, found, self._clock() - started)

    def _take(self, name: str, found: Found, seconds: float) -> None:
        before = self._states[name]
        self._states[name] = after = before.after(found, seconds, self._clock())
        if after.up is before.up:
            return
        if not after.up:
            log.warning("probe_down", probe=name, found=found.value, required=after.required)
        elif before.up is False:
            log.info("probe_up", probe=name)

    def _died(self, task: str, error: BaseException) -> None:
        """Of a bug. What nobody asks any more would stay as it was last seen, for ever."""
        log.error("probe_died", task=task, trace=trace_of(error))
        name = task.removeprefix("probe ")
        probe = self._asked.get(name)
        if probe is not None and probe.url is not None:
            self._start(name, read_probe_url(probe.url.get_secret_value()), AFTER_A_BUG_S)

    def __repr__(self) -> str:
        up = sum(state.up is True for state in self._states.values())
        return f"<Probing: {up} of {len(self._states)} up>"


async def ask_once(ask: Ask, target: ProbeTarget, timeout_s: float) -> Found:
    """What came of one question, however it ended."""
    try:
        async with asyncio.timeout(timeout_s):
            return await ask(target)
    except ssl.SSLError:
        return Found.TLS
    except TimeoutError:
        return Found.TIMEOUT
    except (ConnectionResetError, BrokenPipeError, EOFError, ValueError):
        return Found.BAD_ANSWER
    except OSError as error:
        return Found.NOT_ASKED if is_out_of_resources(error) else Found.UNREACHABLE
