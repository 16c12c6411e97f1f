"""Runs any program as a registered service: registered while it lives, gone before it stops."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from registry.backends.base import Registrar, Registration
from registry.runtime.registered import Registered
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

STOP = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
KILL_AFTER_S = 10.0
"""Only when we ourselves are cancelled: a stop by signal leaves the program all the time it takes."""


async def run_registered(
    registrar: Registrar, registration: Registration, command: Sequence[str], propagation_s: float
) -> int:
    """Starts `command`, registers it once it listens, and returns its exit code (128 + n for signal n).

    SIGTERM and SIGINT deregister first, wait `propagation_s` so that every reader has heard of it, and
    only then reach the program; a second one reaches it at once. Other signals are passed on. However
    the program ends, it is deregistered. Raises `OSError` for a command that can't be started.

    The program gets a session of its own: Ctrl-C must not reach it before the deregistration.
    """
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    listening_at = (registration.address or "127.0.0.1", registration.port)
    try:
        async with Registered(registrar, registration, listening_at=listening_at) as registered:
            leaving = _Leaving(process, registered, propagation_s)
            try:
                with leaving.on_signals():
                    code = await process.wait()
            finally:
                await leaving.close()
    finally:
        await _end(process)
    return code if code >= 0 else 128 - code


class _Leaving:
    """The first stop signal takes the long way, the others are passed on."""

    def __init__(
        self, process: asyncio.subprocess.Process, registered: Registered, propagation_s: float
    ) -> None:
        self._process = process
        self._registered = registered
        self._propagation_s = propagation_s
        self._begun = False
        self._tasks = Tasks(lambda name, error: log.error("task_died", task=name, trace=trace_of(error)))

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP:
            loop.add_signal_handler(number, self._stop, number)
        for number in PASSED_ON:
            loop.add_signal_handler(number, _send, self._process, number)
        try:
            yield
        finally:
            for number in (*STOP, *PASSED_ON):
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        if self._begun:
            _send(self._process, number)
        else:
            self._begun = True
            self._tasks.start("leave", self._leave(number))

    async def _leave(self, number: signal.Signals) -> None:
        await self._registered.withdraw()
        await asyncio.sleep(self._propagation_s)
        _send(self._process, number)

    async def close(self) -> None:
        await self._tasks.close()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        pass  # it has just ended by itself


async def _end(process: asyncio.subprocess.Process) -> None:
    """For a program that still runs although we must go."""
    if process.returncode is not None:
        return
    _send(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(KILL_AFTER_S):
            await process.wait()
    except TimeoutError:
        _send(process, signal.SIGKILL)
        await process.wait()
