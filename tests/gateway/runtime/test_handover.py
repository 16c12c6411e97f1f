"""A socket that goes from one process to the next, here both ends of it in one."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gateway.runtime import handover
from gateway.runtime.handover import HandoverPoint, find_predecessor, offered, predecessor_at, until_ready
from gateway.runtime.rules import StartFailed
from tests.balancer.origins import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "handover"


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@asynccontextmanager
async def offering(path: Path) -> AsyncIterator[tuple[socket.socket, asyncio.Event]]:
    """A socket that is offered there, and whether it was taken."""
    taken = asyncio.Event()
    with listening() as server:
        async with HandoverPoint(path, [server.fileno()], taken.set):
            yield server, taken


async def test_the_newcomer_gets_the_same_socket_and_the_old_one_hears_when_it_is_ready(path: Path) -> None:
    async with offering(path) as (server, taken):
        predecessor = await find_predecessor(path)
        assert predecessor is not None
        (ours,) = predecessor.sockets
        assert ours.getsockname() == server.getsockname()
        assert not os.get_inheritable(ours.fileno())
        assert not taken.is_set()
        await predecessor.may_go()
        await until(taken.is_set)
        # Whoever connects now is in the queue that both hold, and stays there when one of them goes.
        with socket.create_connection(server.getsockname()) as client:
            server.close()
            ours.settimeout(5)
            accepted, peer = ours.accept()
            assert peer == client.getsockname()
            accepted.close()
        predecessor.close()


async def test_a_newcomer_that_goes_away_has_changed_nothing(path: Path) -> None:
    async with offering(path) as (_, taken):
        for _ in range(3):
            gone = await find_predecessor(path)
            assert gone is not None
            gone.close()
        stayed = await find_predecessor(path)
        assert stayed is not None
        assert not taken.is_set()
        await stayed.may_go()
        await until(taken.is_set)
        stayed.close()


async def test_nobody_there_is_nobody(path: Path) -> None:
    assert await find_predecessor(path) is None
    async with predecessor_at(None) as nobody, predecessor_at(str(path)) as neither:
        assert nobody is neither is None


def left_by_a_killed_process(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


async def test_the_file_of_a_process_that_was_killed_is_nobody_and_gives_way(path: Path) -> None:
    left_by_a_killed_process(path)
    assert await find_predecessor(path) is None
    async with offering(path):
        found = await find_predecessor(path)
        assert found is not None
        found.close()


async def test_the_file_is_for_one_user_and_gone_at_the_end(path: Path) -> None:
    async with offering(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.listdir(os.path.dirname(path)) == ["handover"]
    assert os.listdir(os.path.dirname(path)) == []


async def test_the_successors_file_stays_when_the_old_one_ends(path: Path) -> None:
    async with offering(path):
        first = os.stat(path).st_ino
        point = offering(path)
        # As the successor's: it is put where the old one's is, and outlives it.
        await point.__aenter__()
        assert os.stat(path).st_ino != first
    assert path.is_socket()  # noqa: ASYNC240 - of the memory's own file system
    await point.__aexit__(None, None, None)


async def test_another_user_gets_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with offering(path) as (_, taken):
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(StartFailed, match="another user"):
            await find_predecessor(path)
        assert not taken.is_set()


@contextmanager
def never_answers(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        yield


async def test_who_does_not_answer_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ANSWER_S", 0.05)
    with never_answers(path), pytest.raises(StartFailed, match=r"listen\.handover: .* does not answer"):
        await find_predecessor(path)


async def test_who_speaks_otherwise_is_said(path: Path) -> None:
    async def speaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(speaks, path):
        with pytest.raises(StartFailed, match="no gateway of this kind"):
            await find_predecessor(path)


async def test_a_path_that_can_not_be_is_said(path: Path) -> None:
    with listening() as server, pytest.raises(StartFailed, match=r"listen\.handover: can't listen"):
        async with offered(str(path / "no" / "such"), [server.fileno()], lambda: None):
            pass


async def test_who_is_not_ready_in_time_does_not_start() -> None:
    await until_ready(lambda: True)
    with pytest.raises(StartFailed, match="keeps its place"):
        await until_ready(lambda: False, within_s=0.01)


# Why one socket, and not two on one port


def test_a_socket_of_ones_own_on_the_same_port_takes_its_queue_with_it() -> None:
    """The kernel's doing: held here, as it is the reason for this file."""
    with socket.socket() as first, socket.socket() as second, ExitStack() as stack:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", first.getsockname()[1]))
            each.listen(100)
        clients = [
            stack.enter_context(socket.create_connection(first.getsockname(), timeout=5)) for _ in range(40)
        ]
        first.close()
        assert any(map(is_reset, clients))


def is_reset(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        client.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    raise AssertionError("nobody has accepted it")
