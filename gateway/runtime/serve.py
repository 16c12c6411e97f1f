"""The life of a gateway process: start, serve until told to stop, drain, stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from gateway.runtime.app import Gateway
from gateway.runtime.notify import notify
from gateway.runtime.reload import Reloader
from gateway.runtime.settings_source import SettingsSource
from gateway.settings import Settings

T = TypeVar("T")


async def serve(
    settings: Settings,
    source: SettingsSource | None = None,
    started: Callable[[Gateway], None] = lambda _gateway: None,
) -> None:
    """Serves until SIGTERM, SIGINT, or another process that takes its place. Raises `StartFailed`.

    Then it drains; a further signal skips that.

    With a `source`, SIGHUP and a change of its file put its settings in force, as long as it does not drain.
    """
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        gateway = Gateway(settings)
        reloader = None if source is None else Reloader(source, gateway.follow, gateway.reloads)
        if reloader is not None:
            # Before anything runs: a SIGHUP that nobody handles ends a process.
            stack.enter_context(_hangup_asks(reloader))
        await stack.enter_async_context(gateway)
        started(gateway)
        notify("READY=1", os.environ)
        await _first_of(stop.wait(), gateway.replaced.wait(), *([reloader.run()] if reloader else []))
        stop.clear()
        notify("STOPPING=1", os.environ)
        await _first_of(gateway.drain(), stop.wait())


@contextmanager
def _hangup_asks(reloader: Reloader) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, instead of ending the process."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Runs all until one has ended; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in done:
            task.result()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to its end, on uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
