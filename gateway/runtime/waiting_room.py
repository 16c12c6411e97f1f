"""Requests that are answered once something has happened, as opposed to at once.

There is room for so many of them, and all are let go when the gateway stops. One whose client hangs up
leaves by itself: its task is cancelled.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class WaitingRoom:
    """`places`: how many may wait at a time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting = 0
        self._closed = asyncio.Event()

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

    def close(self) -> None:
        """Lets everybody go, for good."""
        self._closed.set()

    def __len__(self) -> int:
        return self._waiting

    def __repr__(self) -> str:
        return f"<WaitingRoom: {self._waiting} of {self._places} places taken>"
