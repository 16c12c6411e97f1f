"""Each misbehaviour at a real socket."""

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from registry.health_checks import Answer, HealthCheckPolicy, Question
from registry.model import Instance, InstanceId, ServiceName
from registry.runtime.asking import ENOUGH_BODY, Asking
from tests.registry.certificates import Authority

PATIENT = HealthCheckPolicy(timeout_s=10.0)
HASTY = HealthCheckPolicy(timeout_s=0.2)
TCP = HealthCheckPolicy(kind="tcp", timeout_s=10.0)

Speaks = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Gets the head of the request; the connection is closed when it returns."""


def question(
    port: int, policy: HealthCheckPolicy = PATIENT, ip: str = "127.0.0.1", **more: object
) -> Question:
    instance = Instance(InstanceId("web-1"), ServiceName("web"), "web.internal", port, ip)
    return Question(1, replace(instance, **more), policy)  # type: ignore[arg-type]  # each test's own fields


def says(text: str) -> Speaks:
    async def speak(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())
        await writer.drain()

    return speak


async def never_answers(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()


async def resets_after_the_request(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def never_ends_its_body(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()
    except ConnectionError:
        pass


async def drips_its_body(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
    await reader.read()


class Peer:
    """Accepts connections on loopback and remembers what was asked."""

    def __init__(self, speak: Speaks) -> None:
        self.speak = speak
        self.heads: list[str] = []
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            await self.speak(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peer(
    speak: Speaks, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Peer]:
    there = Peer(speak)
    server = await asyncio.start_server(there.accept, host, 0, ssl=tls)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        await server.wait_closed()


async def answer_of(speak: Speaks, policy: HealthCheckPolicy = PATIENT) -> Answer:
    async with peer(speak) as there, Asking() as asking:
        return await asking.ask(question(there.port, policy))


@pytest.mark.parametrize(
    ("speak", "answer"),
    [
        (says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), Answer.GOOD),
        (says("HTTP/1.0 204 No Content\n\n"), Answer.GOOD),
        (says("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\n\nabc"), Answer.GOOD),
        (never_ends_its_body, Answer.GOOD),
        (says("HTTP/1.1 503 No\nContent-Length: 0\n\n"), Answer.STATUS),
        (says("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n"), Answer.STATUS),
        (says("HTTP/1.1 200 OK\nContent-Length: 100\n\ncut off"), Answer.BROKEN),
        (says("SSH-2.0-OpenSSH_9.2\n\n"), Answer.BROKEN),
        (says("HTTP/1.1 200 OK\nX: " + "x" * 20_000 + "\n\n"), Answer.BROKEN),
        (says(""), Answer.BROKEN),
        (resets_after_the_request, Answer.BROKEN),
    ],
)
async def test_what_counts_as_an_answer(speak: Speaks, answer: Answer) -> None:
    assert await answer_of(speak) is answer


@pytest.mark.parametrize("speak", [never_answers, drips_its_body])
async def test_who_does_not_finish_in_time_gave_no_answer(speak: Speaks) -> None:
    assert await answer_of(speak, HASTY) is Answer.TIMEOUT


async def test_an_answer_must_carry_the_expected_headers() -> None:
    policy = replace(PATIENT, expect_headers={"x-service-id": "{id}"})
    ours = says("HTTP/1.1 200 OK\nX-Service-Id: web-1\nContent-Length: 0\n\n")
    assert await answer_of(ours, policy) is Answer.GOOD
    other = says("HTTP/1.1 200 OK\nX-Service-Id: web-2\nContent-Length: 0\n\n")
    assert await answer_of(other, policy) is Answer.IDENTITY


async def test_the_question_goes_to_the_literal_with_the_host_that_was_registered() -> None:
    policy = replace(PATIENT, path="/a%2Fb?c=%20")
    async with peer(says("HTTP/1.1 200 OK\nContent-Length: 0\n\n")) as there, Asking() as asking:
        assert await asking.ask(question(there.port, policy)) is Answer.GOOD
    head = there.heads[0].splitlines()
    assert head[0] == "GET /a%2Fb?c=%20 HTTP/1.1"
    assert f"Host: web.internal:{there.port}" in head
    assert "User-Agent: quaymaster-health-check" in head


async def test_ipv6() -> None:
    fine = says("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
    try:
        async with peer(fine, host="::1") as there, Asking() as asking:
            assert await asking.ask(question(there.port, ip="::1")) is Answer.GOOD
            assert await asking.ask(question(there.port, TCP, ip="::1")) is Answer.GOOD
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")


async def test_no_redirect_is_followed_no_cookie_kept_no_proxy_asked_and_no_reset_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with Asking() as asking:
        moved = "HTTP/1.1 302 Found\nLocation: /x\nSet-Cookie: a=b; Path=/\nContent-Length: 0\n\n"
        async with peer(says(moved)) as there:
            assert await asking.ask(question(there.port)) is Answer.GOOD
            assert await asking.ask(question(there.port)) is Answer.GOOD
        assert [head.split()[1] for head in there.heads] == ["/health"] * 2
        assert "Cookie" not in there.heads[1]
        async with peer(resets_after_the_request) as there:
            assert await asking.ask(question(there.port)) is Answer.BROKEN
        assert len(there.heads) == 1


async def test_an_endless_body_is_left_after_enough_of_it() -> None:
    sent = 0

    async def counts(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 4096)
                sent += 4096
                await writer.drain()
        except ConnectionError:
            pass

    assert await answer_of(counts) is Answer.GOOD
    assert sent < ENOUGH_BODY + 16 * 1024 * 1024, "what socket buffers hold, and no more"


# TCP.


async def test_a_connection_alone_is_an_answer_to_a_tcp_question() -> None:
    async with peer(never_answers) as there, Asking() as asking:
        assert await asking.ask(question(there.port, TCP)) is Answer.GOOD
    async with Asking() as asking:
        for policy in (TCP, PATIENT):
            assert await asking.ask(question(there.port, policy)) is Answer.UNREACHABLE


@contextmanager
def never_accepts() -> Iterator[int]:
    """Its backlog is full: the kernel drops whoever knocks."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = []
        try:
            for _ in range(4):
                knocking = socket.socket()
                knocking.setblocking(False)
                knocking.connect_ex(("127.0.0.1", port))
                waiting.append(knocking)
            yield port
        finally:
            for knocking in waiting:
                knocking.close()


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_who_does_not_accept_in_time_gave_no_answer(kind: str) -> None:
    policy = replace(HASTY, kind=kind)  # type: ignore[arg-type]  # parametrize knows only str
    with never_accepts() as port:
        async with Asking() as asking:
            assert await asking.ask(question(port, policy)) is Answer.TIMEOUT


# TLS.


async def test_https_is_spoken_where_the_registration_says_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(*authority.issue("server"))

    def trusted() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(authority.file))

    async with peer(says("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), served) as there:
        ours = question(there.port, host="127.0.0.1", meta={"scheme": "https"})
        async with Asking(tls=trusted) as asking:
            assert await asking.ask(ours) is Answer.GOOD
            stranger = question(there.port, host="other.internal", meta={"scheme": "https"})
            assert await asking.ask(stranger) is Answer.BROKEN, "the certificate is of another name"
        async with Asking() as asking:
            assert await asking.ask(ours) is Answer.BROKEN, "nobody we trust signed it"


# Faults of our own.


def take_every_socket(held: list[socket.socket]) -> None:
    while True:
        held.append(socket.socket())


@contextmanager
def no_free_descriptor() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            take_every_socket(held)
        yield
    finally:
        for each in held:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("policy", [PATIENT, TCP])
async def test_without_a_free_descriptor_nobody_was_asked(policy: HealthCheckPolicy) -> None:
    fine = says("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
    async with peer(fine) as there, Asking() as asking:
        with no_free_descriptor():
            assert await asking.ask(question(there.port, policy)) is Answer.NOT_ASKED
        assert await asking.ask(question(there.port, policy)) is Answer.GOOD


async def test_a_deadline_that_we_noticed_late_says_nothing_of_the_instance() -> None:
    times = iter((0.0, 60.0))
    async with peer(never_answers) as there, Asking(clock=lambda: next(times)) as asking:
        assert await asking.ask(question(there.port, HASTY)) is Answer.NOT_ASKED
