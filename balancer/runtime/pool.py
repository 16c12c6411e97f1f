"""The connections to one instance: who has one, which are idle, who waits.

Rules of this file: a connection is either idle, or somebody's, or closed; `open` counts the first two and
those that are being made, and never exceeds `max_connections`. The one used last is used next, so that
those nobody needs grow old and are closed.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

from balancer.model import PoolLimits
from balancer.runtime.connection import Connection
from registry.model import Instance


class Saturated(Exception):
    """All connections are in use, and nobody gave one back in time."""


class InstancePool:
    """Connections to `instance`, which is the address that is connected to. Used from one event loop only.

    `tls` is called when the first connection to an `https` instance is made.
    """

    def __init__(
        self, instance: Instance, limits: PoolLimits, buffer: memoryview, tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self.instance = instance
        self.limits = limits
        self._buffer = buffer
        self._tls = tls if instance.url.startswith("https") else None
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._connecting = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self.retired = False
        """The instance has left: no connection outlives its call."""

    @property
    def open(self) -> int:
        return len(self._all) + self._connecting

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def now(self) -> float:
        return self._loop.time()

    def take(self, now: float) -> Connection | None:
        """An idle connection, the one that was used last; `None` when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and now - connection.idle_since < self.limits.idle_s:
                return connection
            connection.abort()
        return None

    async def connect(self, until: float) -> Connection:
        """A new connection, or one that is given back when there may be no more.

        `until` is the loop's time. Raises `Saturated`, `TimeoutError`, `ssl.SSLError` and `OSError`.
        """
        if self.open >= self.limits.max_connections:
            given = await self._wait(until)
            if given is not None:
                return given
        else:
            self._connecting += 1
        instance = self.instance
        try:
            async with asyncio.timeout_at(until):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, self._buffer),
                    # The checked literal, never a name.
                    instance.ip,
                    instance.port,
                    ssl=self._tls() if self._tls else None,
                    server_hostname=instance.host if self._tls else None,
                )
            if not connection.closed:
                self._all.add(connection)
                connection.on_closed = self._closed
        finally:
            self._connecting -= 1
            self._grant()
        return connection

    async def _wait(self, until: float) -> Connection | None:
        """Somebody's connection, or `None` for the place to make one."""
        if len(self._waiting) >= self.limits.max_waiting:
            raise Saturated
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except BaseException as error:
            self._not_wanted(waiter)
            if isinstance(error, TimeoutError):
                raise Saturated from None
            raise

    def _not_wanted(self, waiter: "asyncio.Future[Connection | None]") -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif waiter.done() and not waiter.cancelled():
            # It was served in the same turn in which it gave up.
            connection = waiter.result()
            if connection is None:
                self._connecting -= 1
                self._grant()
            else:
                self.give_back(connection)

    def give_back(self, connection: Connection) -> None:
        """Takes a connection whose call has ended well: for who waits, else to keep."""
        if self.retired:
            connection.abort()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if len(self._idle) > self.limits.max_idle:
            self._idle.pop(0).abort()

    def sweep(self, now: float) -> None:
        """Closes what has been idle for too long, and everything idle once the instance has left."""
        kept_since = now if self.retired else now - self.limits.idle_s
        while self._idle and self._idle[0].idle_since <= kept_since:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Closes all connections, used or not."""
        self.retired = True
        self._idle.clear()
        for connection in list(self._all):
            connection.abort()

    def _closed(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._grant()

    def _grant(self) -> None:
        """Gives free places to who waits for one."""
        while self._waiting and self.open < self.limits.max_connections:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._connecting += 1
                waiter.set_result(None)

    def __repr__(self) -> str:
        return (
            f"<InstancePool {self.instance.id}: {self.open - self.idle} in use, {self.idle} idle,"
            f" {self.waiting} waiting>"
        )
