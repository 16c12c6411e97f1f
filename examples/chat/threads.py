"""Blocking work off the event loop: a few threads, and a queue that says no when it is full."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Busy(Exception):
    """More is waiting than can be done in time: come back in a moment."""


class Threads:
    """Runs functions in `count` threads. `run` raises `Busy` when `waiting` calls are under way."""

    def __init__(self, name: str, count: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._most = waiting
        self._under_way = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. A cancelled caller doesn't stop work that has begun."""
        if self._under_way >= self._most:
            raise Busy
        self._under_way += 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)
        # Counted until the thread is done with it, not until the caller stops waiting.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._under_way -= 1

    async def close(self) -> None:
        """Waits for what has begun and drops the rest."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
