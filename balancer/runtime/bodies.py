"""The bodies of answers: all there already, or still on their way with the connection they come from."""

import asyncio
from collections.abc import AsyncIterator

from balancer.runtime.connection import Connection
from balancer.runtime.pool import InstancePool
from balancer.runtime.tunnel import End


class WholeBody:
    """All of a body. Its connection serves others already."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def whole(self) -> bytes:
        return self._data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._data:
            raise StopAsyncIteration
        data, self._data = self._data, b""
        return data


class StreamedBody:
    """A body on its way, and its connection until that is released.

    `upload` is the task that still sends the request's own body, if there is one.
    """

    __slots__ = ("_connection", "_ended", "_pool", "_upload")

    def __init__(
        self, pool: InstancePool, connection: Connection, upload: "asyncio.Task[None] | None"
    ) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self._upload = upload
        self._ended = False

    @property
    def ended(self) -> bool:
        """The instance has sent all of it, read or not."""
        return self._ended or (self._connection is not None and self._connection.answers.ended)

    def whole(self) -> bytes | None:
        connection = self._connection
        if connection is None or not connection.answers.ended:
            return None
        self._ended = True
        return connection.answers.take()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None or not (piece := await self._connection.read()):
            raise StopAsyncIteration
        return piece

    def take_over(self, end: End) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the transport, whose protocol is `end` now, and what came behind the answer's head."""
        connection = self._connection
        assert connection is not None, "taken over before it is released"
        self._connection, self._ended = None, True
        end.behind = connection
        return connection.take_over(end)

    async def release(self) -> None:
        """Gives the connection back, or closes it when the body has not ended. Call it always."""
        if self._upload is not None and not self._upload.done():
            # The client's stream is its task's until that has ended: somebody may want to read on.
            self._upload.cancel()
            await asyncio.wait([self._upload])
        connection, self._connection = self._connection, None
        if connection is not None:
            self._ended = connection.answers.ended
            if connection.end(self._pool.now()):
                self._pool.give_back(connection)
