"""aiohttp's server as we use it. What is private to aiohttp is held here, against the version installed."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.web_protocol import RequestHandler

from gateway.runtime.http_server import PlainResponse, WholeResponse, continue_100, cut_off
from tests.balancer.origins import until
from tests.gateway.runtime.gateways import ask, request, serving, wire


async def ok(_: web.BaseRequest) -> web.StreamResponse:
    return WholeResponse(text="ok", content_type="text/plain")


def refuse(reason: str) -> web.StreamResponse:
    return WholeResponse(status=431 if reason == "headers_too_large" else 400, text=reason)


def test_the_parser_is_the_one_in_c() -> None:
    """The one in Python reads some malformed requests otherwise (CVE-2023-47641)."""
    assert HttpRequestParser is not HttpRequestParserPy


def test_what_is_overridden_is_there() -> None:
    assert callable(RequestHandler.handle_error)
    assert asyncio.iscoroutinefunction(web.StreamResponse._prepare_headers)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense\r\n\r\n", "bad_request"),
        (b"GET\r\n\r\n", "bad_request"),
        (b"BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n", "bad_method"),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_method"),
        (b"\x00\x01 GET / HTTP/1.1\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n X: folded\r\n\r\n", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "bad_request"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad_request",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad_request"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, "bad_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_request"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value[:40]),
)
async def test_bytes_that_are_no_request_are_refused_in_our_words_and_the_connection_ends(
    data: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ok, refuse) as port, wire(port) as client:
        await client.say(data)
        answer = await client.answer()
        assert (answer.status, answer.body.decode()) == (431 if "large" in reason else 400, reason)
        assert answer.all("Server") == []
        assert await client.rest() == b""
    assert not [record for record in caplog.records if record.exc_info]


async def test_what_came_before_the_bad_bytes_is_answered() -> None:
    async with serving(ok, refuse) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        assert (await client.answer()).body == b"ok"
        await client.say("nonsense\r\n\r\n", request("GET", "/"))
        assert (await client.answer()).status == 400
        assert await client.rest() == b""


async def test_a_handler_that_raises_is_a_500_without_a_word_of_it() -> None:
    async def broken(_: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError("the secret is 42")

    reasons = []

    def note(reason: str) -> web.StreamResponse:
        reasons.append(reason)
        return WholeResponse(status=500, text="no detail")

    async with serving(broken, note) as port:
        answer = await ask(port, "GET", "/")
        assert (answer.status, answer.body) == (500, b"no detail")
    assert reasons == ["internal_error"]


async def test_a_handler_that_raises_in_the_middle_of_an_answer_ends_the_connection() -> None:
    async def broken(raw: web.BaseRequest) -> web.StreamResponse:
        response = PlainResponse()
        await response.prepare(raw)
        await response.write(b"half")
        raise RuntimeError

    async with serving(broken, refuse) as port, wire(port) as client:
        await client.say(request("GET", "/"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


async def test_a_plain_response_adds_nothing_but_the_date() -> None:
    async def plain(raw: web.BaseRequest) -> web.StreamResponse:
        response = PlainResponse(headers={"Content-Length": "2"})
        await response.prepare(raw)
        await response.write_eof(b"ok")
        return response

    async with serving(plain) as port:
        answer = await ask(port, "GET", "/")
        assert {name for name, _ in answer.headers} == {"Content-Length", "Date"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_cut_off_answer_never_looks_complete(version: str) -> None:
    async def cut(raw: web.BaseRequest) -> web.StreamResponse:
        response = PlainResponse()
        await response.prepare(raw)
        await response.write(b"half")
        await asyncio.sleep(0)
        cut_off(raw)
        return response

    async with serving(cut) as port, wire(port) as client:
        await client.say(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


async def test_a_100_comes_before_the_answer_and_does_not_count_as_one() -> None:
    async def go_on(raw: web.BaseRequest) -> web.StreamResponse:
        await continue_100(raw)
        assert raw.writer.output_size == 0
        return WholeResponse(body=await raw.read())

    async with serving(go_on) as port, wire(port) as client:
        await client.say(request("POST", "/", "Content-Length: 2"))
        assert (await client.answer()).status == 100
        await client.say("ok")
        assert (await client.answer()).body == b"ok"


async def test_a_client_that_hangs_up_cancels_its_handler() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(_: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("nobody set that event")

    async with serving(waits) as port:
        async with wire(port) as client:
            await client.say(request("GET", "/"))
            await began.wait()
        await until(cancelled.is_set)


async def test_compressed_bodies_are_not_unpacked() -> None:
    """A small one could unpack to gigabytes."""

    async def echo(raw: web.BaseRequest) -> web.StreamResponse:
        return WholeResponse(body=await raw.read())

    async with serving(echo) as port:
        answer = await ask(port, "POST", "/", "Content-Encoding: gzip", body=b"not gzip at all")
        assert answer.body == b"not gzip at all"


async def test_a_body_nobody_read_does_not_become_the_next_request() -> None:
    async with serving(ok) as port, wire(port) as client:
        smuggled = request("GET", "/smuggled")
        await client.say(request("POST", "/", body=smuggled), request("GET", "/"))
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.answer()


@pytest.mark.parametrize("line", ["GET /", "GET / HTTP/2.0", "GET / HTTP/1.1"])
async def test_the_status_line_names_a_version_that_is_spoken_here(line: str) -> None:
    async with serving(ok) as port, wire(port) as client:
        await client.say(f"{line}\r\nHost: x\r\n\r\n")
        version, _, _ = await client.head()
        assert version == "HTTP/1.1"
