"""Hands a listening socket to the process that takes one's place, so that no connection meets a closed door.

The queue of connections that nobody has accepted yet belongs to the socket, not to a process. So both
processes hold the same socket for a moment, and whoever comes is accepted by one of them. With two sockets
on one port (SO_REUSEPORT), what waits in the queue of the one that is closed is reset.

On a Unix socket: the newcomer connects and is sent `HELLO` with the sockets; once it accepts, it says `READY`
and is answered `YOURS`. If it goes away before, nothing has happened.
"""

import array
import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from gateway.runtime.rules import StartFailed
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

HELLO = b"quaymaster 1\n"
READY = b"ready\n"
YOURS = b"yours\n"
MAX_SOCKETS = 16
ANSWER_S = 5.0
"""For each word of the other process, but for `READY`."""
READY_WITHIN_S = 30.0
"""So long a newcomer waits until it knows its services."""
READY_S = 2 * READY_WITHIN_S
"""For a newcomer to accept connections."""
PEER = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid."""


class HandoverPoint:
    """An async context manager: offers the sockets at a path, readable for the same user only.

    `taken` is called once another process accepts connections; from then on nothing is offered any more.
    """

    def __init__(self, path: Path, sockets: Sequence[int], taken: Callable[[], None]) -> None:
        self._path = path
        self._sockets = sockets
        self._taken = taken
        self._tasks = Tasks(lambda name, error: log.error("task_died", task=name, trace=trace_of(error)))
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    async def __aenter__(self) -> Self:
        # Under another name first: who finds the path finds somebody behind it, at every moment.
        name = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with suppress(FileNotFoundError):
                name.unlink()
            self._door.setblocking(False)
            self._door.bind(str(name))
            name.chmod(0o600)
            self._door.listen(1)
            name.rename(self._path)
        except OSError as error:
            self._door.close()
            raise StartFailed(f"listen.handover: can't listen at {self._path}: {error.strerror}") from error
        self._inode = self._path.stat().st_ino
        self._tasks.start("handover", self._offer())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()
        self._door.close()
        with suppress(FileNotFoundError):
            # The path may be the successor's already.
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _offer(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            newcomer, _ = await loop.sock_accept(self._door)
            with newcomer:
                if not _is_same_user(newcomer):
                    log.warning("handover_refused", reason="another user")
                    continue
                try:
                    if await self._hand_over(newcomer, loop):
                        break
                except (OSError, TimeoutError) as error:
                    log.warning("handover_failed", detail=str(error) or type(error).__name__)
        self._taken()

    async def _hand_over(self, newcomer: socket.socket, loop: asyncio.AbstractEventLoop) -> bool:
        newcomer.setblocking(False)
        socket.send_fds(newcomer, [HELLO], self._sockets)
        async with asyncio.timeout(READY_S):
            said = await loop.sock_recv(newcomer, len(READY))
        if said != READY:
            log.warning("handover_failed", detail="the other process went away")
            return False
        async with asyncio.timeout(ANSWER_S):
            await loop.sock_sendall(newcomer, YOURS)
        log.info("handed_over")
        return True


class Predecessor:
    """The process whose place is taken: its sockets, and the word that it may go."""

    def __init__(self, connection: socket.socket, sockets: list[socket.socket]) -> None:
        self._connection = connection
        self.sockets = sockets

    async def may_go(self) -> None:
        """To be called when connections are accepted here. Raises `StartFailed` if nobody hears it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_sendall(self._connection, READY)
                heard = await loop.sock_recv(self._connection, len(YOURS))
        except (OSError, TimeoutError):
            heard = b""
        if heard != YOURS:
            # It has ended by itself: then the sockets are ours all the same.
            log.warning("predecessor_gone")

    def close(self) -> None:
        """Lets go of it, and of those of its sockets that nobody has taken out of `sockets`."""
        self._connection.close()
        for unused in self.sockets:
            unused.close()


async def find_predecessor(path: Path) -> Predecessor | None:
    """Whoever offers its sockets at that path; `None` when nobody does.

    Raises `StartFailed` when somebody is there who does not answer, or is not of the same user.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        async with asyncio.timeout(ANSWER_S):
            await loop.sock_connect(connection, str(path))
            if not _is_same_user(connection):
                raise StartFailed(f"listen.handover: another user's process listens at {path}")
            sockets = await _receive(connection, loop)
    except (FileNotFoundError, ConnectionRefusedError):
        # Nobody has been there, or somebody left without removing the file.
        connection.close()
        return None
    except (OSError, TimeoutError) as error:
        connection.close()
        said = "does not answer" if isinstance(error, TimeoutError) else f"can't be asked: {error.strerror}"
        raise StartFailed(f"listen.handover: whoever listens at {path} {said}") from error
    except BaseException:
        connection.close()
        raise
    return Predecessor(connection, sockets)


@asynccontextmanager
async def predecessor_at(path: str | None) -> AsyncIterator[Predecessor | None]:
    """As `find_predecessor`, at no path too; what was not taken of it is closed at the end."""
    predecessor = None if path is None else await find_predecessor(Path(path))
    try:
        yield predecessor
    finally:
        if predecessor is not None:
            predecessor.close()


@asynccontextmanager
async def offered(path: str | None, sockets: Sequence[int], taken: Callable[[], None]) -> AsyncIterator[None]:
    """A `HandoverPoint` while the block runs, at no path none."""
    if path is None:
        yield
    else:
        async with HandoverPoint(Path(path), sockets, taken):
            yield


async def until_ready(is_ready: Callable[[], bool], within_s: float = READY_WITHIN_S) -> None:
    """A gateway that knows no instances yet must not take the place of one that does: `StartFailed`."""
    try:
        async with asyncio.timeout(within_s):
            while not is_ready():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    except TimeoutError:
        said = f"the registry has not answered for {within_s:g} s; the gateway that runs keeps its place"
        raise StartFailed(f"listen.handover: {said}") from None


async def _receive(connection: socket.socket, loop: asyncio.AbstractEventLoop) -> list[socket.socket]:
    readable = asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection.fileno())
    room = MAX_SOCKETS * array.array("i").itemsize
    said, descriptors, _, _ = socket.recv_fds(connection, len(HELLO), room)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if said != HELLO:
        for unknown in sockets:
            unknown.close()
        raise StartFailed("listen.handover: the process there is no gateway of this kind")
    return sockets


def _is_same_user(connection: socket.socket) -> bool:
    """By the kernel's word, where it gives one; elsewhere the file's mode has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return bool(uid == os.geteuid())
