"""Messages that wait to be read: bounded, and with an end that loses none of them."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

M = TypeVar("M")


class Inbox(Generic[M]):
    """Who puts into a full one waits; who reads from an ended one gets the rest, then the end."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"queue is {most}: give it room for at least 1 message")
        self._most = most
        self._waiting: deque[M] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, message: M) -> None:
        """Waits for room. What comes after the end is dropped."""
        while len(self._waiting) >= self._most and not self._ended:
            await self._change()
        if not self._ended:
            self._waiting.append(message)
            self._changed.set()

    async def get(self) -> M:
        """The next message. Raises `StopAsyncIteration` after the last."""
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            await self._change()
        self._changed.set()
        return self._waiting.popleft()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def __repr__(self) -> str:
        return f"<Inbox: {len(self._waiting)} of {self._most}{', ended' if self._ended else ''}>"
