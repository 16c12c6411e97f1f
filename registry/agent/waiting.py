"""Blocking queries: each sleeps until its topic's index is above the one it knows."""

import asyncio
from collections.abc import Callable

from registry.agent.index import Topic

Waiter = asyncio.Future[None]


class TooManyWaiting(Exception):
    """Every place for a blocking query is taken."""


class Waiting:
    """All waiters of one agent."""

    def __init__(self, index_of: Callable[[Topic], int], limit: int) -> None:
        self._index_of = index_of
        self._limit = limit
        self._waiters: dict[Waiter, tuple[Topic, int]] = {}
        self._closed = False

    async def until_above(self, topic: Topic, index: int, patience_s: float) -> None:
        """Returns once the topic's index is above `index`, or after that long. Raises `TooManyWaiting`."""
        if self._closed or self._index_of(topic) > index:
            return
        if len(self._waiters) >= self._limit:
            raise TooManyWaiting
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = (topic, index)
        try:
            async with asyncio.timeout(patience_s):
                await waiter
        except TimeoutError:
            pass
        finally:
            del self._waiters[waiter]

    def notify(self) -> None:
        """Wakes those whose topic has changed: call it after a change of the catalogue."""
        for waiter, (topic, index) in self._waiters.items():
            if not waiter.done() and self._index_of(topic) > index:
                waiter.set_result(None)

    def close(self) -> None:
        """Lets everybody go, now and from now on: the agent stops."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __len__(self) -> int:
        return len(self._waiters)

    def __repr__(self) -> str:
        return f"<Waiting: {len(self)} of {self._limit}>"
