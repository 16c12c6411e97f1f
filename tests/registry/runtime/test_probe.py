import asyncio
import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from registry.model import Instance, InstanceId, ServiceName
from registry.runtime.probe import accepts_connections, refusing
from tests.servers import free_ports


def instance(port: int) -> Instance:
    return Instance(InstanceId(str(port)), ServiceName("web"), "127.0.0.1", port, "127.0.0.1")


@contextmanager
def never_accepts() -> Iterator[int]:
    """A port whose queue of waiting connections is full: further ones get no answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


async def test_those_that_refuse_are_told_from_those_that_accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here, gone = instance(server.getsockname()[1]), instance(free_ports(1)[0])
        assert await refusing([here, gone]) == [gone]
    assert await refusing([]) == []


async def test_one_that_does_not_answer_refuses_after_the_timeout() -> None:
    with never_accepts() as port:
        async with asyncio.timeout(5):
            assert await refusing([instance(port)], timeout_s=0.1) == [instance(port)]


def _take_every_socket(held: list[socket.socket]) -> None:
    while True:
        held.append(socket.socket())


async def test_that_we_have_no_socket_left_is_no_refusal() -> None:
    (closed,) = free_ports(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with pytest.raises(OSError) as full:
            _take_every_socket(held)
        assert full.value.errno == errno.EMFILE
        assert await accepts_connections("127.0.0.1", closed)
    finally:
        for each in held:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not await accepts_connections("127.0.0.1", closed)
