"""Too much, too many, too slow: what is refused how, and what that may cost in memory, log and series."""

import asyncio
import json
import logging
import os
import random
import string
from contextlib import AsyncExitStack
from functools import partial

import pytest

from tests.balancer.origins import Connection, origin
from tests.conformance.gateways import open_gateway
from tests.conformance.recorder import recorder
from tests.conformance.talk import Talk, converse, talk
from tests.gateway.runtime.gateways import ask, token, until_idle

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

PAGE = os.sysconf("SC_PAGE_SIZE")
LOGGED = {"level": "info", "format": "json"}


def resident() -> int:
    """Bytes of memory this process holds."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * PAGE


def head(*lines: str, target: str = "/") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "raw",
    [
        head(target="/" + "a" * 20_000),
        head("X: " + "a" * 20_000),
        head("a" * 20_000 + ": x"),
        head(*(f"X-{number}: x" for number in range(500))),
        head(*(f"X-{number}: {'x' * 1000}" for number in range(100))),
    ],
    ids=["request line", "value", "name", "count", "all together"],
)
async def test_a_head_that_is_too_large_is_refused_unseen(raw: bytes) -> None:
    async with recorder() as kept, open_gateway(kept.instance) as running:
        client, _ = await converse(running.port, [raw])
        assert [answer.status for answer in client.answers] in ([400], [414], [431])
        assert client.closed
        assert not kept.begun()


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"A", b"GET / HTTP/1.1\r\n"])
async def test_a_head_without_an_end_costs_little_memory(start: bytes) -> None:
    lines = start.endswith(b"1.1\r\n")
    piece = b"X: y\r\n" * 10_000 if lines else b"a" * 60_000
    async with recorder() as kept, open_gateway(kept.instance) as running:
        before = resident()
        for _ in range(10):
            async with talk(running.port) as client:
                await client.say(start)
                for _ in range(50):
                    await client.say(piece)
                assert (await client.answer()).status in (400, 405, 414, 431)
        assert resident() - before < 100 * 64 * 1024
        assert not kept.begun()


@pytest.mark.parametrize("size", [101, 1 << 40])
async def test_a_body_that_says_it_is_too_large_is_refused_before_anything_is_sent(size: int) -> None:
    async with recorder() as kept, open_gateway(kept.instance, route={"max_body_bytes": 100}) as running:
        async with talk(running.port) as client:
            await client.say(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
            answer = await client.answer()
            assert (answer.status, answer.one(b"connection")) == (413, b"close")
            await client.to_the_end()
        assert not kept.begun()


async def test_a_body_that_turns_out_too_large_is_never_whole_at_the_instance() -> None:
    async with (
        recorder() as kept,
        open_gateway(kept.instance, route={"max_body_bytes": 100_000}) as running,
        talk(running.port) as client,
    ):
        await client.say(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await client.say(b"c350\r\n" + bytes(50_000) + b"\r\n")
        answer = await client.answer()
        assert (answer.status, answer.one(b"connection")) == (413, b"close")
        await client.to_the_end()
        assert kept.requests() == []
        await until_idle(running.port)


async def test_an_answer_that_nobody_reads_waits_at_the_instance_and_comes_whole_later() -> None:
    size, piece = 64 << 20, bytes(1 << 16)
    sent = 0

    async def floods(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            await connection.say(piece)
            sent += len(piece)

    async with (
        origin(floods) as instance,
        open_gateway(instance.instance) as running,
        talk(running.port) as client,
    ):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
        before = resident()
        await client.say(head())
        last = -1
        while last < sent or not sent:
            last = sent
            await asyncio.sleep(0.2)
        assert sent < size / 2, "what is held on the way is in buffers of the system"
        assert resident() - before < 4 << 20
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        came = 0
        while came < size:
            came += len(await client.reader.read(1 << 20))
        assert came - size < 1000
        await until_idle(running.port)


async def test_bad_requests_cost_few_log_bytes_and_no_traceback(
    capfdbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nX\r\n\r\n",
        b"canary / HTTP/9.9\r\n\r\n",
        head(target="/../x"),
    ]
    async with recorder() as kept, open_gateway(kept.instance, logging=LOGGED) as running:
        for number in range(1000):
            async with talk(running.port) as client:
                await client.say(bad[number % len(bad)])
                await client.answer()
    captured = capfdbinary.readouterr()
    written = captured.out + captured.err
    assert len(written) < 1000 * 500
    assert b"Traceback" not in written
    assert b"canary" not in written
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert not kept.begun()


async def test_no_secret_and_no_control_byte_reaches_the_log(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    secret = token("ada", canary="claim")
    lines = [
        f"Authorization: Bearer {secret}",
        "X-Internal-Key: canary",
        "Cookie: s=canary",
        "token: " + secret,
    ]
    for form in ("json", "console"):
        async with (
            recorder() as kept,
            open_gateway(kept.instance, logging=LOGGED | {"format": form}) as running,
        ):
            for raw in (
                head(*lines[:3], target="/a?token=canary&ticket=canary"),
                head(lines[3], target="/%1b%5b31mcanary?x"),
                head("Referer: http://a/?token=canary", target="/b%22%0acanary?x"),
                head("User-Agent: canary\x7f", target="/%C2%9Bx"),
            ):
                await converse(running.port, [raw])
        written = capfdbinary.readouterr()
        logged = written.out + written.err
        assert b"/a" in logged, "there is an access log"
        assert b"canary" not in logged
        assert secret.encode() not in logged
        assert not {octet for octet in logged if octet < 0x20 and octet not in b"\n"} - {0x1B}


async def test_paths_and_methods_of_strangers_make_no_metric_series(rng: random.Random) -> None:
    async with (
        recorder(lambda *_: b"HTTP/1.1 204 No Content\r\n\r\n") as kept,
        open_gateway(kept.instance, route={"path": "/known/*"}) as running,
    ):

        async def walk(connections: int) -> None:
            for _ in range(connections):
                async with talk(running.port) as client:
                    for _ in range(50):
                        word = "".join(rng.choices(string.ascii_letters, k=8))
                        method = rng.choice(["GET", "PUT", "BREW", word.upper()])
                        path = rng.choice(["/known/", "/", "/ping/", "/open/"]) + word
                        client.raw.clear()
                        await client.say(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                        await client.hear(partial(_has_answer, client))
                        if client.closed:
                            break

        await walk(20)
        await series(running.port)
        before = await series(running.port)
        await walk(80)
        assert await series(running.port) == before


async def series(port: int) -> set[str]:
    """The names and labels of all series, without their values."""
    text = (await ask(port, "GET", "/metrics")).body.decode()
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


SLOW = {"port": 0, "header_s": 0.2, "body_idle_s": 0.2, "keepalive_s": 0.2}


@pytest.mark.parametrize(
    ("start", "drip", "statuses"),
    [
        (b"", b"", []),
        (b"GET / HTTP/1.1\r\n", b"", [408]),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n", [408]),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", [200]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel", b"", [408]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"", [408]),
    ],
    ids=[
        "says nothing",
        "stalls",
        "drips",
        "idles",
        "stalls in a body",
        "in a chunk",
    ],
)
async def test_a_client_that_takes_its_time_loses_its_connection(
    start: bytes, drip: bytes, statuses: list[int]
) -> None:
    async with recorder() as kept, open_gateway(kept.instance, listen=SLOW) as running:
        async with talk(running.port) as client:
            await client.say(start)
            if drip:
                async with asyncio.timeout(10):
                    while not await client.hear(lambda: bool(client.answers), 0.05):
                        await client.say(drip)
            await client.hear(lambda: bool(statuses) and len(client.answers) == len(statuses))
            assert [answer.status for answer in client.answers] == statuses
            if not start.startswith(b"POST"):
                await client.to_the_end()
        await until_idle(running.port)
        assert len(kept.requests()) == statuses.count(200)


async def test_more_connections_than_allowed_are_turned_away_and_room_is_made_again() -> None:
    listen = {"port": 0, "max_connections": 5}
    async with recorder() as kept, open_gateway(kept.instance, listen=listen) as running:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(talk(running.port)) for _ in range(8)]
            for client in clients:
                await client.say(head())
                await client.hear(partial(_has_answer, client))
            statuses = [client.answers[0].status for client in clients if client.answers]
            assert statuses.count(200) == 5
            assert set(statuses) <= {200, 503}
        async with asyncio.timeout(10):
            while (await ask(running.port, "GET", "/")).status != 200:  # noqa: ASYNC110 - over a socket
                await asyncio.sleep(0.01)
        assert kept.problem() is None


def _has_answer(client: Talk) -> bool:
    return bool(client.answers)


async def test_what_it_says_is_json_and_fixed() -> None:
    async with recorder() as kept, open_gateway(kept.instance) as running:
        client, _ = await converse(running.port, [head(target="/" + "a" * 20_000)])
        assert set(json.loads(client.answers[0].body)) >= {"error", "reason", "message", "request_id"}
        assert not kept.begun()
