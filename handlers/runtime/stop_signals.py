"""SIGTERM and SIGINT, before `web.run_app` acts on them.

Clients must be moved while the application still runs: once aiohttp shuts down, it throws away what its
connections receive (aiohttp 3.14, `RequestHandler.data_received` after `pre_shutdown`), so clients would
speak to nobody.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from aiohttp import web


@contextmanager
def stop_signals(begin: Callable[[], None]) -> Iterator[None]:
    """Inside the block the first one calls `begin`, which is to end in `stop`; a second stops at once.

    Does nothing where nobody has taken them over from the system so far, as under another runner.
    """
    loop, begun = asyncio.get_running_loop(), False

    def on_signal() -> None:
        nonlocal begun
        if begun:
            stop()
        begun = True
        begin()

    numbers = [number for number in (signal.SIGTERM, signal.SIGINT) if _is_taken(number)]
    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def stop() -> NoReturn:
    """Ends `web.run_app`. To be called by the loop, not in a task, which would keep it as its own result."""
    raise web.GracefulExit


def _is_taken(number: signal.Signals) -> bool:
    handler = signal.getsignal(number)
    return handler not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None)
