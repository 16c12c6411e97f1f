"""aiohttp's server as we use it. What is private to aiohttp is held here, against the version installed."""

import asyncio
import inspect
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from gateway.runtime import http_server
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.http_server import HttpServer, _Connection, parser_problem
from tests.balancer.origins import until
from tests.gateway.runtime.gateways import ask, refused, request, send_text, server_of, serving, wire

LOOPS: tuple[Callable[[], asyncio.AbstractEventLoop], ...] = (
    asyncio.new_event_loop,
    uvloop.new_event_loop,
)
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


def on(loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


on_both_loops = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


async def ok(raw: ClientRequest) -> None:
    send_text(raw, "ok")


async def says_the_target(raw: ClientRequest) -> None:
    send_text(raw, raw.target)


async def waiting(server: HttpServer) -> _Connection:
    """The only connection, once it waits for a request."""
    found: list[_Connection] = []

    def waits() -> bool:
        found[:] = [one for one in server.connections if isinstance(one, _Connection)]
        return len(found) == 1 and found[0]._coming is not None

    await until(waits)
    return found[0]


# What is private to aiohttp


def test_the_parser_is_the_one_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parser_problem() is None
    monkeypatch.setattr(http_server, "HttpRequestParser", HttpRequestParserPy)
    assert "parser in C" in (parser_problem() or "")


def test_what_is_overridden_and_used_is_there() -> None:
    assert inspect.iscoroutinefunction(RequestHandler.start)
    assert list(inspect.signature(RequestHandler.shutdown).parameters) == ["self", "timeout"]
    for name in ("connection_made", "connection_lost", "data_received", "close", "force_close"):
        assert inspect.isfunction(getattr(RequestHandler, name)), name
    for name in ("_pause_reading_for_buffer", "_resume_reading_for_buffer"):
        assert inspect.isfunction(getattr(BaseProtocol, name)), name
    assert inspect.iscoroutinefunction(BaseProtocol._drain_helper)
    for name in ("feed_data", "message_consumed", "set_upgraded"):
        assert hasattr(HttpRequestParser, name), name
    for name in ("method", "path", "version", "headers", "raw_headers", "should_close", "upgrade"):
        assert hasattr(RawRequestMessage, name), name
    for name in ("is_eof", "readany", "read_nowait", "exception", "set_exception"):
        assert inspect.isfunction(getattr(StreamReader, name)) or name == "readany"


async def test_the_state_that_is_used_is_there() -> None:
    async with server_of(ok) as (server, port), wire(port) as client:
        await client.say(request("GET", "/"))
        await client.answer()
        connection = await waiting(server)
        assert connection._parser is not None
        assert connection._task_handler is not None
        flags = (connection._paused, connection._buffer_paused, connection._close, connection._force_close)
        assert not any(flags)
        assert connection._manager is server
        assert EMPTY_PAYLOAD.is_eof()


# Bytes that are no request


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense\r\n\r\n", "bad_request"),
        (b"GET\r\n\r\n", "bad_request"),
        (b"BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n", "bad_method"),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_method"),
        (b"\x00\x01 GET / HTTP/1.1\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", "bad_version"),
        (b"GET / RTSP/1.1\r\nHost: x\r\n\r\n", "bad_version"),
        (b"OPTIONS  /  RTSP/1.0\r\nHost: x\r\n\r\n", "bad_version"),
        (b"\r\nPOST / RTSP/1.1\r\nHost: x\r\nX: a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "bad_version"),
        (b"SOURCE / ICE/1.0\r\nHost: x\r\n\r\n", "bad_version"),
        (b"GET / HTTP/1.1\nHost: x\n\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX\xff: y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n X: folded\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nx", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "bad_request"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad_request",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad_request"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "bad_request",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n", "bad_request"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "uri_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 9000 + b": y\r\n\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", "headers_too_large"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 20 + b"\r\n",
            "headers_too_large",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, "bad_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_request"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value[:60]),
)
async def test_bytes_that_are_no_request_are_refused_in_our_words_and_the_connection_ends(
    data: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(never_called) as port, wire(port) as client:
        await client.say(data)
        answer = await client.answer()
        assert (answer.status, answer.body.decode()) == (400, reason)
        assert answer.all("Server") == []
        assert await client.rest() == b""
    assert caplog.records == []


async def never_called(raw: ClientRequest) -> None:
    raise AssertionError(f"{raw} is no request")


async def test_headers_that_grow_for_ever_are_stopped_while_they_come() -> None:
    async with serving(never_called) as port, wire(port) as client:
        await client.say("GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(17):
            await client.say(b"X: " + b"y" * 4000 + b"\r\n")
        assert (await client.answer()).body == b"headers_too_large"


async def test_a_long_body_is_no_long_head() -> None:
    async def counts(raw: ClientRequest) -> None:
        send_text(raw, str(len(await raw.body.read())))

    async with serving(counts, max_header_bytes=1024) as port:
        answer = await ask(port, "POST", "/", body=b"x" * 100_000)
        assert answer.body == b"100000"


@pytest.mark.parametrize("before", [request("GET", "/"), request("POST", "/", body=b"hello")])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_came_before_the_bad_bytes_is_answered(before: bytes, at_once: bool) -> None:
    async with serving(ok) as port, wire(port) as client:
        bad = b"nonsense\r\n\r\n" + request("GET", "/")
        await client.say(before + bad if at_once else before)
        assert (await client.answer()).body == b"ok"
        await client.say(b"" if at_once else bad)
        assert (await client.answer()).body == b"bad_request"
        assert await client.rest() == b""


async def test_what_comes_behind_a_request_that_ends_its_connection_is_not_read() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        await client.say(request("GET", "/one", "Connection: close") + request("GET", "/two"))
        assert (await client.answer()).body == b"/one"
        assert await client.rest() == b""


async def test_bad_bytes_inside_a_body_fail_that_body_at_once() -> None:
    began = asyncio.Event()

    async def reads(raw: ClientRequest) -> None:
        began.set()
        try:
            await raw.body.read()
        except web.RequestPayloadError:
            send_text(raw, "broken")

    async with serving(reads, body_idle_s=3600) as port, wire(port) as client:
        await client.say(request("POST", "/", "Transfer-Encoding: chunked"), b"1\r\nx\r\n")
        await began.wait()
        await client.say(b"zz\r\n")
        assert (await client.answer()).body == b"broken"
        assert await client.rest() == b"", "one answer, and the end"


CHUNKED = request("POST", "/first", "Transfer-Encoding: chunked")


async def says_its_headers(raw: ClientRequest) -> None:
    body = await raw.body.read()
    send_text(raw, f"{body.decode()} {dict(raw.headers)}")


@pytest.mark.parametrize(
    "parts",
    [
        [b"1\r\nx\r\n0\r\nEvil: 1\r\n\r\n"],
        [b"1\r\nx\r\n0\r\nEvil: 1\r\n", b"\r\n"],
        [b"1\r\nx\r\n0\r\nEvil: ", b"0\r\n\r\n"],
        [b"1\r\nx\r\n0\r\nEvil: \r", b"\n\r\n"],
        [b"1\r\nx\r\n0\r\nEvil: 1\r\n\r\nGET"],
    ],
)
async def test_a_trailer_never_becomes_a_header_of_the_next_request(parts: list[bytes]) -> None:
    async with serving(says_its_headers) as port, wire(port) as client:
        await client.say(CHUNKED)
        for part in parts:
            await asyncio.sleep(0.01)  # so that the parts arrive apart: the test holds however they do
            await client.say(part)
        assert (await client.answer()).body.startswith(b"x ")
        assert await client.rest() == b"", "there is no next request on this connection"


@pytest.mark.parametrize("parts", [[b"1\r\nx\r\n0\r\n\r\n"], [b"1\r\nx\r\n", b"0\r\n\r", b"\n"]])
async def test_a_chunked_body_without_trailers_keeps_its_connection(parts: list[bytes]) -> None:
    async with serving(says_its_headers) as port, wire(port) as client:
        for _ in range(2):
            await client.say(CHUNKED)
            for part in parts:
                await asyncio.sleep(0.01)  # as above
                await client.say(part)
            answer = await client.answer()
            assert answer.body.startswith(b"x ")
            assert answer.all("Connection") == []


async def test_what_is_pipelined_behind_a_chunked_body_is_not_answered_but_asked_for_again() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        await client.say(CHUNKED + b"1\r\nx\r\n0\r\nEvil: 1\r\n\r\n" + request("GET", "/second"))
        answer = await client.answer()
        assert (answer.body, answer.one("Connection")) == (b"/first", "close")
        assert await client.rest() == b""


# A handler and its faults


async def test_a_handler_that_raises_is_a_500_without_a_word_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def broken(_: ClientRequest) -> None:
        raise RuntimeError("the secret is 42")

    async with serving(broken) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        assert (await client.answer()).body == b"internal_error"
        assert await client.rest() == b""
    assert "the secret is 42" in capsys.readouterr().out, "the operator must be told"


async def test_a_handler_that_forgets_to_answer_is_a_500() -> None:
    async def forgets(_: ClientRequest) -> None:
        pass

    async with serving(forgets) as port:
        assert (await ask(port, "GET", "/")).body == b"internal_error"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_handler_that_raises_in_the_middle_of_an_answer_ends_the_connection(version: str) -> None:
    async def broken(raw: ClientRequest) -> None:
        raw.begin(200, ())
        await raw.write(b"half")
        raise ConnectionResetError

    async with serving(broken) as port, wire(port) as client:
        await client.say(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


@on_both_loops
def test_a_client_that_hangs_up_cancels_its_handler(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def work() -> None:
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def waits(_: ClientRequest) -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with server_of(waits) as (server, port):
            async with wire(port) as client:
                await client.say(request("GET", "/"))
                await began.wait()
            async with asyncio.timeout(5):
                await cancelled.wait()
            await until(lambda: not server.connections)

    on(loop, work())


# One connection, many requests


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        targets = [f"/{number}" for number in range(200)]
        await client.say(*(request("GET", target) for target in targets))
        assert [(await client.answer()).body.decode() for _ in targets] == targets


@on_both_loops
def test_a_client_that_never_reads_its_answers_is_not_asked_for_more(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        answered = 0

        async def long(raw: ClientRequest) -> None:
            nonlocal answered
            answered += 1
            raw.send(200, (), b"x" * 50_000)

        async with server_of(long) as (server, port), wire(port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
            client.writer.write(request("GET", "/") * 5000)
            (connection,) = server.connections
            await until(lambda: connection._paused)
            stopped_at = answered
            for _ in range(20):
                await asyncio.sleep(0)
            assert answered <= stopped_at + 1
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_size() < 200_000
            server.sweep(server.clock() + 3600)
            await until(lambda: not server.connections)

    on(loop, work())


@on_both_loops
def test_what_is_said_behind_a_slow_request_waits_with_the_client(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        go_on = asyncio.Event()

        async def slow(raw: ClientRequest) -> None:
            await go_on.wait()
            send_text(raw, str(len(await raw.body.read())))

        async with server_of(slow) as (server, port), wire(port) as client:
            client.writer.write(request("GET", "/"))
            for _ in range(10):
                client.writer.write(request("POST", "/", body=b"x" * 1_000_000))
            (connection,) = server.connections
            assert isinstance(connection, _Connection)
            await until(lambda: connection._buffer_paused)
            assert connection._reader.holds < 1_000_000
            go_on.set()
            said = [(await client.answer()).body for _ in range(11)]
            assert said == [b"0", *[b"1000000"] * 10]

    on(loop, work())


@on_both_loops
@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
def test_a_body_that_is_not_read_stops_its_client_until_it_is(
    framing: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def work() -> None:
        go_on = asyncio.Event()

        async def later(raw: ClientRequest) -> None:
            await go_on.wait()
            send_text(raw, str(len(await raw.body.read())))

        async with server_of(later) as (server, port), wire(port) as client:
            body = b"x" * 3_000_000
            client.writer.write(request("POST", "/", framing))
            client.writer.write(b"2dc6c0\r\n" + body + b"\r\n0\r\n\r\n" if "chunked" in framing else body)
            await until(lambda: any(one._reading_paused for one in server.connections))
            go_on.set()
            assert (await client.answer()).body == b"3000000"
            await client.say(request("POST", "/", body=body))
            assert (await client.answer()).body == b"3000000"

    on(loop, work())


async def test_a_body_nobody_read_does_not_become_the_next_request() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        smuggled = request("GET", "/smuggled")
        await client.say(request("POST", "/one", body=smuggled), request("GET", "/two"))
        assert (await client.answer()).body == b"/one"
        assert (await client.answer()).body == b"/two"


async def test_a_body_nobody_wants_and_that_does_not_end_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "LINGERING_S", 0.05)
    async with serving(ok) as port, wire(port) as client:
        await client.say(request("POST", "/", "Content-Length: 100"), b"half")
        assert (await client.answer()).body == b"ok"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", True),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        ("GET / HTTP/1.0\r\n\r\n", False),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_a_connection_stays_or_ends_as_it_was_told_to(head: str, stays: bool) -> None:
    async with serving(ok) as port, wire(port) as client:
        await client.say(head)
        answer = await client.answer()
        assert ("close" in answer.all("Connection")) is not stays
        await client.say(head)
        assert (await client.rest() if not stays else (await client.answer()).body) == (
            b"ok" if stays else b""
        )


async def test_compressed_bodies_are_not_unpacked() -> None:
    """A small one could unpack to gigabytes."""

    async def echo(raw: ClientRequest) -> None:
        send_text(raw, (await raw.body.read()).decode())

    async with serving(echo) as port:
        answer = await ask(port, "POST", "/", "Content-Encoding: gzip", body=b"not gzip at all")
        assert answer.body == b"not gzip at all"


@pytest.mark.parametrize("line", ["GET /", "GET / HTTP/2.0", "GET / HTTP/1.1", "GET / HTTP/1.0"])
async def test_the_status_line_names_the_version_that_is_spoken_here(line: str) -> None:
    async with serving(ok) as port, wire(port) as client:
        await client.say(f"{line}\r\nHost: x\r\n\r\n")
        version, _, _ = await client.head()
        assert version == "HTTP/1.1"


# Deadlines and limits, in virtual time


async def test_a_connection_on_which_nothing_comes_is_closed_without_a_word() -> None:
    async with server_of(ok, header_s=10) as (server, port), wire(port) as client:
        await until(lambda: server.connections)
        server.sweep(server.clock() + 9)
        await client.say(request("GET", "/"))
        assert (await client.answer()).body == b"ok"
    async with server_of(ok, header_s=10) as (server, port), wire(port) as client:
        await until(lambda: server.connections)
        server.sweep(server.clock() + 10)
        assert await client.rest() == b""


async def test_a_head_that_is_not_finished_in_time_is_a_408() -> None:
    async with server_of(ok, header_s=10, keepalive_s=75) as (server, port), wire(port) as client:
        for _ in range(2):
            await client.say(request("GET", "/"))
            await client.answer()
        (connection,) = server.connections
        assert isinstance(connection, _Connection)
        await client.say("\r\nGET / HT")
        await until(lambda: connection.head_begun)
        await client.say("TP/1.1\r\nHost: ")
        server.sweep(server.clock() + 9)
        assert server.connections
        server.sweep(server.clock() + 11)
        assert (await client.answer()).body == b"request_timeout"
        assert await client.rest() == b""


@pytest.mark.parametrize("before", [request("GET", "/"), request("POST", "/", body=b"hello\r\n\r\n")])
async def test_a_head_that_begins_right_behind_a_request_has_no_more_time_than_another(before: bytes) -> None:
    async with server_of(ok, header_s=10, keepalive_s=75) as (server, port), wire(port) as client:
        await client.say(before + b"\r\nGET / HT")
        await client.answer()
        await waiting(server)
        server.sweep(server.clock() + 9)
        assert server.connections
        server.sweep(server.clock() + 11)
        assert (await client.answer()).body == b"request_timeout"
        assert await client.rest() == b""


async def test_an_idle_connection_is_kept_for_as_long_as_the_settings_say() -> None:
    async with server_of(ok, header_s=10, keepalive_s=75) as (server, port), wire(port) as client:
        await client.say(request("GET", "/"))
        await client.answer()
        await waiting(server)
        server.sweep(server.clock() + 74)
        await client.say("\r\n")  # some clients end their body like that: no request has begun
        await client.say(request("GET", "/"))
        await client.answer()
        await waiting(server)
        server.sweep(server.clock() + 76)
        assert await client.rest() == b""


async def test_a_request_that_is_being_answered_is_never_late() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(raw: ClientRequest) -> None:
        began.set()
        await go_on.wait()
        send_text(raw, "ok")

    async with server_of(slow) as (server, port), wire(port) as client:
        await client.say(request("GET", "/"))
        await began.wait()
        server.sweep(server.clock() + 3600)
        go_on.set()
        assert (await client.answer()).body == b"ok"


async def test_the_sweep_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "SWEEP_S", 0.01)
    async with serving(ok, header_s=0.05) as port, wire(port) as client:
        assert await client.rest() == b""


@on_both_loops
def test_a_connection_too_many_is_turned_away_and_the_others_go_on(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        async with server_of(ok, max_connections=2) as (server, port):
            async with wire(port) as one, wire(port) as other:
                await until(lambda: len(server.connections) == 2)
                async with wire(port) as third:
                    answer = await third.answer()
                    assert (answer.body, await third.rest()) == (b"overloaded", b"")
                for client in (one, other):
                    await client.say(request("GET", "/"))
                    assert (await client.answer()).body == b"ok"
            await until(lambda: not server.connections)
            assert (await ask(port, "GET", "/")).body == b"ok"

    on(loop, work())


# The same request again


class Counts:
    """The answer to a request that comes again: how many times it did."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request = request
        self.until = until
        self.times = 0

    def again(self) -> bytes:
        self.times += 1
        body = b"again %d" % self.times
        return b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_the_same_bytes_get_what_was_made_ready_for_them_and_no_others_do() -> None:
    again = request("GET", "/a")

    async def prepares(raw: ClientRequest) -> None:
        raw.prepare_repeat(Counts(again, math.inf))
        send_text(raw, raw.target)

    async with server_of(prepares) as (server, port), wire(port) as client:

        async def said(data: bytes) -> bytes:
            await client.say(data)
            return (await client.answer()).body

        assert await said(again) == b"/a"
        assert [await said(again) for _ in range(3)] == [b"again 1", b"again 2", b"again 3"]
        assert await said(request("GET", "/b")) == b"/b"
        assert await said(again) == b"again 1"
        assert await said(request("POST", "/a", body=b"x")) == b"/a"
        await client.say(again + again)
        assert [(await client.answer()).body for _ in range(2)] == [b"/a", b"/a"], "two are not one"
        server.follow(server.listen)
        assert await said(again) == b"/a", "settings may have changed it"


async def test_what_was_made_ready_holds_for_its_time_and_is_forgotten_then() -> None:
    now, again = 100.0, request("GET", "/a")

    async def prepares(raw: ClientRequest) -> None:
        raw.prepare_repeat(Counts(again, 101.0))
        send_text(raw, raw.target)

    async with server_of(prepares) as (server, port), wire(port) as client:
        server.clock = lambda: now
        for now, body in ((100.0, b"/a"), (100.9, b"again 1"), (101.0, b"/a")):  # noqa: B007 the clock reads it
            await client.say(again)
            assert (await client.answer()).body == body
        connection = await waiting(server)
        server.sweep(100.9)
        assert connection.repeat is not None
        server.sweep(101.0)
        assert connection.repeat is None


# The end


async def test_at_the_end_idle_connections_close_and_a_request_under_way_is_answered() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(raw: ClientRequest) -> None:
        began.set()
        body = await raw.body.read()
        await go_on.wait()
        send_text(raw, f"{len(body)} bytes")

    async with server_of(slow) as (server, port), wire(port) as idle, wire(port) as busy:
        await busy.say(request("POST", "/", "Content-Length: 4"), b"ha")
        await began.wait()
        await until(lambda: len(server.connections) == 2)
        server.pre_shutdown()
        ending = asyncio.gather(server.shutdown(5))
        assert await idle.rest() == b""
        await busy.say(b"lf")
        go_on.set()
        answer = await busy.answer()
        assert (answer.body, answer.one("Connection")) == (b"4 bytes", "close")
        assert await busy.rest() == b""
        await ending
        assert server.connections == []


@on_both_loops
def test_at_the_end_a_request_that_takes_too_long_is_cancelled_and_may_clean_up(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        began, released = asyncio.Event(), False

        async def stuck(raw: ClientRequest) -> None:
            nonlocal released
            raw.begin(200, ())
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                released = True

        async with server_of(stuck) as (server, port), wire(port) as client:
            await client.say("GET / HTTP/1.0\r\n\r\n")
            await began.wait()
            server.pre_shutdown()
            await server.shutdown(0.01)
            assert released
            with pytest.raises(ConnectionError):
                await client.answer()

    on(loop, work())


# Another protocol


class Echo(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


async def echoes(raw: ClientRequest) -> None:
    echo = Echo()
    echo.transport, rest = raw.take_over(echo)
    echo.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + rest)
    await echo.ended.wait()


@on_both_loops
def test_a_connection_that_is_taken_over_speaks_another_protocol_and_is_still_in_the_book(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        cancelled = asyncio.Event()

        async def handler(raw: ClientRequest) -> None:
            assert raw.wants_upgrade == "websocket"
            try:
                await echoes(raw)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with server_of(handler) as (server, port):
            async with wire(port) as client:
                await client.say(request("GET", "/", *UPGRADE), b"early ")
                assert (await client.answer()).status == 101
                await client.say(b"and late")
                assert await client.reader.readexactly(14) == b"early and late"
                server.sweep(server.clock() + 3600)
                assert len(server.connections) == 1
            async with asyncio.timeout(5):
                await cancelled.wait()
            await until(lambda: not server.connections)

    on(loop, work())


@on_both_loops
def test_a_connection_that_is_taken_over_ends_with_the_server(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        async with server_of(echoes) as (server, port), wire(port) as client:
            await client.say(request("GET", "/", *UPGRADE))
            assert (await client.answer()).status == 101
            server.pre_shutdown()
            await server.shutdown(0.01)
            assert await client.rest() == b""
            assert server.connections == []

    on(loop, work())


async def test_only_a_request_that_asks_for_it_gives_its_connection_away() -> None:
    async def tries(raw: ClientRequest) -> None:
        with pytest.raises(RuntimeError):
            raw.take_over(Echo())
        send_text(raw, raw.wants_upgrade)

    async with serving(tries) as port:
        assert (await ask(port, "GET", "/")).body == b""
        assert (await ask(port, "GET", "/", "Connection: Upgrade", "Upgrade: H2C")).body == b"h2c"


async def test_a_switch_that_nobody_makes_leaves_http() -> None:
    """Nothing of its body may become a request of its own (CVE-2026-69243)."""
    async with serving(says_the_target) as port, wire(port) as client:
        smuggled = request("GET", "/smuggled")
        for _ in range(2):
            await client.say(
                request("POST", "/one", *UPGRADE, body=smuggled), request("GET", "/two", *UPGRADE)
            )
            await client.say(request("GET", "/three"))
            assert [(await client.answer()).body for _ in range(3)] == [b"/one", b"/two", b"/three"]


async def test_what_follows_a_switch_that_nobody_makes_may_be_bad() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        await client.say(request("GET", "/one", *UPGRADE), "nonsense\r\n\r\n")
        assert (await client.answer()).body == b"/one"
        assert (await client.answer()).body == b"bad_request"
        assert await client.rest() == b""


async def test_a_switch_to_what_nobody_speaks_leaves_http_too() -> None:
    async with serving(says_the_target) as port, wire(port) as client:
        for _ in range(2):
            await client.say(
                request("GET", "/one", "Connection: Upgrade", "Upgrade: h2c")
                + request("POST", "/two", "Connection: Upgrade", "Upgrade: h2c", body=b"hello")
                + request("GET", "/three")
            )
            answers = [await client.answer() for _ in range(3)]
            assert [answer.body for answer in answers] == [b"/one", b"/two", b"/three"]
            assert [answer.all("Connection") for answer in answers] == [[], [], []]


def test_a_refusal_of_these_tests_says_why() -> None:
    assert refused("why").endswith(b"\r\n\r\nwhy")
