"""PING, to fakes and to a real Redis."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from gateway.health_probes import Found, read_probe_url
from tests.balancer.origins import origin
from tests.gateway.probes.behaviours import ask, says, target
from tests.registry.certificates import Authority
from tests.servers import own_redis

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (LOADING, Found.STARTING),
        (b"-NOAUTH Authentication required.\r\n", Found.DENIED),
        (b"-NOPERM no\r\n", Found.DENIED),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Found.ERROR),
        (b"+OK\r\n", Found.BAD_ANSWER),
    ],
)
async def test_what_it_says_to_ping(answer: bytes, found: Found) -> None:
    async with origin(says(answer)) as there:
        assert await ask(target("redis", there.instance.port)) is found


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (":p%40ss@", b"*2\r\n$4\r\nAUTH\r\n$4\r\np@ss\r\n"),
        ("ada:pw@", b"*3\r\n$4\r\nAUTH\r\n$3\r\nada\r\n$2\r\npw\r\n"),
        ("", b""),
    ],
)
async def test_the_password_of_the_url_is_said_first(who: str, words: bytes) -> None:
    answers = [b"+OK\r\n"] * bool(who) + [b"+PONG\r\n"]
    async with origin(says(*answers)) as there:
        assert await ask(target("redis", there.instance.port, "/0", who)) is Found.UP
        assert there.heads[0] == words + b"*1\r\n$4\r\nPING\r\n"


async def test_rediss_is_spoken_with_whom_the_url_believes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server"))

    async def is_a_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"+PONG\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(is_a_redis, "127.0.0.1", 0, ssl=context) as server:
        at = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await ask(read_probe_url(f"{at}?ssl_ca_certs={authority.file}")) is Found.UP
        assert await ask(read_probe_url(at)) is Found.TLS


async def test_a_real_redis_with_and_without_a_password_and_one_that_hangs() -> None:
    with own_redis() as server:
        at = f"127.0.0.1:{server.port}"
        assert await ask(read_probe_url(server.url)) is Found.UP
        assert await ask(read_probe_url(f"redis://:needless@{at}")) is Found.UP
        await asyncio.to_thread(_say, server.port, b"CONFIG SET requirepass pw\r\n")
        assert await ask(read_probe_url(f"redis://:pw@{at}/0")) is Found.UP
        assert await ask(read_probe_url(f"redis://:wrong@{at}/0")) is Found.DENIED
        assert await ask(read_probe_url(server.url)) is Found.DENIED
        server.pause()
        try:
            assert await ask(read_probe_url(f"redis://:pw@{at}"), 0.2) is Found.TIMEOUT
        finally:
            server.resume()


def _say(port: int, command: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(command)
        assert s.recv(100) == b"+OK\r\n"
