"""Instances that misbehave, each on a real socket and named for its fault.

An `Origin` counts the requests it has read, so a test can say how often something was executed.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from registry.model import Instance, InstanceId, ServiceName

SERVICE = ServiceName("auth")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def instance_at(port: int, id: str, weight: int = 1) -> Instance:
    return Instance(
        id=InstanceId(id), service=SERVICE, host="localhost", port=port, ip="127.0.0.1", weight=weight
    )


class Connection:
    """One accepted connection, as a behaviour sees it."""

    def __init__(self, origin: "Origin", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = origin
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Reads one request whole and counts it. Raises `IncompleteReadError` when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.origin.heads.append(head)
        self.origin.bodies.append(await self._body(head.lower()))
        return head

    async def _body(self, head: bytes) -> bytes:
        if b"\r\ntransfer-encoding: chunked" in head:
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
            return body
        _, found, rest = head.partition(b"\r\ncontent-length:")
        return await self.reader.readexactly(int(rest.split(b"\r\n")[0])) if found else b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Closes with RST instead of FIN, as a killed process with unread data does."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


Behaviour = Callable[[Connection], Awaitable[None]]


class Origin:
    """A server whose every connection is handled by one behaviour."""

    def __init__(self, behaviour: Behaviour, id: str, weight: int) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.go = asyncio.Event()
        """For behaviours that wait for the test's word."""
        self._behaviour = behaviour
        self._id = id
        self._weight = weight
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=1024)
        port = self._server.sockets[0].getsockname()[1]
        self.instance = instance_at(port, self._id, self._weight)

    async def stop(self) -> None:
        """Stops accepting and ends every connection, as a process that dies does."""
        self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks)

    def stop_listening(self) -> None:
        """Connections from now on are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._behaviour(Connection(self, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    @property
    def requests(self) -> int:
        return len(self.heads)

    @property
    def open_connections(self) -> int:
        return len(self._tasks)


@asynccontextmanager
async def origin(behaviour: Behaviour, id: str = "a", weight: int = 1) -> AsyncIterator[Origin]:
    started = Origin(behaviour, id, weight)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


async def counts_requests(connection: Connection) -> None:
    """Behaves: answers every request with 200, as long as the connection lasts."""
    while True:
        await connection.request()
        await connection.say(OK)


async def accepts_and_closes(connection: Connection) -> None:
    connection.writer.close()


async def closes_after_request_read(connection: Connection) -> None:
    await connection.request()


async def resets_after_request_read(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def resets_at_the_word(connection: Connection) -> None:
    await connection.request()
    await connection.origin.go.wait()
    connection.reset()


async def answers_once_then_closes_on_the_second(connection: Connection) -> None:
    """The keep-alive race: the second request on a connection meets its end."""
    await connection.request()
    await connection.say(OK)
    await connection.request()


async def never_answers(connection: Connection) -> None:
    await connection.request()
    await connection.reader.read()


async def never_reads(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
    await asyncio.Event().wait()


async def drips_the_head(connection: Connection) -> None:
    """A byte now and then, for ever: no read is idle, and no answer comes."""
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.say(b"X: y\r\n")
        await asyncio.sleep(0.02)


async def resets_after_headers(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    await connection.origin.go.wait()
    connection.reset()


async def ends_mid_body(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


async def ends_mid_chunk(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")


async def stops_mid_body(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await connection.reader.read()


async def sends_garbage(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"\x16\x03\x01 this is not HTTP\r\n\r\n")


async def answers_101_unasked(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    await connection.reader.read()


def answers(data: bytes) -> Behaviour:
    """Says exactly these bytes to every request."""

    async def behaviour(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(data)

    return behaviour


async def until(condition: Callable[[], object], within_s: float = 5) -> None:
    """Returns once the condition holds; raises `TimeoutError` if it does not come to that."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the other end of a socket
            await asyncio.sleep(0.005)


@asynccontextmanager
async def refuses(id: str = "a", weight: int = 1) -> AsyncIterator[Instance]:
    """Nobody listens; the port stays taken, so that nobody else can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield instance_at(taken.getsockname()[1], id, weight)


@asynccontextmanager
async def never_accepts(id: str = "a", weight: int = 1) -> AsyncIterator[Instance]:
    """The backlog is full: connecting gets no answer at all, neither yes nor no."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield instance_at(listener.getsockname()[1], id, weight)
