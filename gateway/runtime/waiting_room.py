"""Requests that are answered once something has happened, as opposed to at once.

There is room for so many of them, and all are let go when the gateway stops. One whose client hangs up
leaves by itself: its task is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class WaitingRoom:
    """`places`: how many may wait at a time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting = 0
        self._closed = asyncio.Event()
        self._held: set[asyncio.Timeout] = set()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there was a place; it is kept as long as the block runs."""
        taken = self._waiting < self._places and not self._closed.is_set()
        self._waiting += taken
        try:
            yield taken
        finally:
            self._waiting -= taken

    async def pause(self, seconds: float) -> bool:
        """Returns after so long. False, and earlier, if there is no more waiting here."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return True
        return False

    async def hold(self, news: Awaitable[T]) -> T | None:
        """What is waited for, or `None` if there is no more waiting here. For who has a place."""
        limit = asyncio.timeout(0 if self._closed.is_set() else None)
        self._held.add(limit)
        try:
            async with limit:
                return await news
        except TimeoutError:
            if limit.expired():
                return None
            raise
        finally:
            self._held.discard(limit)

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """Lets everybody go, for good."""
        self._closed.set()
        while self._held:
            self._held.pop().reschedule(asyncio.get_running_loop().time())

    def __len__(self) -> int:
        return self._waiting

    def __repr__(self) -> str:
        return f"<WaitingRoom: {self._waiting} of {self._places} places taken>"
