"""Reading a client's body: to its limit, with a deadline, and never more than once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.runtime import client_body
from gateway.runtime.client_body import ClientBody
from gateway.runtime.client_request import ClientRequest
from tests.gateway.runtime.gateways import Wire, request, send_text, serving, wire

LIMIT = 1000
KEPT = 64 * 1024


@asynccontextmanager
async def reading(*, streamed: bool = False, limit: int = LIMIT, **listen: Any) -> AsyncIterator[Wire]:
    """A client of a server that reads bodies and says what it made of them."""

    async def handler(raw: ClientRequest) -> None:
        send_text(raw, await (streamed_of(raw) if streamed else whole_of(raw)))

    async def whole_of(raw: ClientRequest) -> str:
        body = ClientBody(raw, limit)
        if (refused := body.refusal()) is not None:
            return f"not read: {refused.reason}"
        body.begin()
        whole = await body.whole()
        said = whole.reason if isinstance(whole, GatewayError) else f"{len(whole)} bytes"
        if not isinstance(whole, GatewayError):
            assert raw.bytes_in == len(whole)
        return f"{'small' if body.is_within(KEPT) else 'large'}: {said}"

    async def streamed_of(raw: ClientRequest) -> str:
        body, taken = ClientBody(raw, limit), 0
        try:
            async for piece in body:
                taken += len(piece)
        except Exception as error:  # noqa: BLE001 - what is raised is what is asked about
            reported = body.error()
            return f"{type(error).__name__}, {reported.reason if reported else 'no fault of the client'}"
        assert raw.bytes_in == taken
        return f"{taken} bytes"

    async with serving(handler, **listen) as port, wire(port) as client:
        yield client


async def said(client: Wire) -> str:
    return (await client.answer()).body.decode()


async def said_at_last(client: Wire) -> str:
    """The same, when no request can follow: the answer must say so."""
    answer = await client.answer()
    assert answer.all("Connection") == ["close"]
    return answer.body.decode()


CHUNKED = request("POST", "/", "Transfer-Encoding: chunked")


def announcing(length: int, *headers: str) -> bytes:
    return request("POST", "/", f"Content-Length: {length}", *headers)


@pytest.mark.parametrize("length", [1, LIMIT])
async def test_a_body_within_the_limit_is_read_whole(length: int) -> None:
    async with reading() as client:
        await client.say(announcing(length), b"x" * length)
        assert await said(client) == f"small: {length} bytes"


async def test_a_request_without_a_body_has_an_empty_one() -> None:
    async with reading() as client:
        await client.say(request("GET", "/"))
        assert await said(client) == "small: 0 bytes"


async def test_a_longer_one_is_refused_by_its_announcement() -> None:
    async with reading() as client:
        await client.say(announcing(LIMIT + 1))
        assert await said_at_last(client) == "not read: body_too_large"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_chunked_one_is_refused_when_the_limit_is_passed(streamed: bool) -> None:
    async with reading(streamed=streamed) as client:
        await client.say(CHUNKED, b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        await client.say(b"1\r\nx\r\n")
        expected = "BodyTooLarge, body_too_large" if streamed else "large: body_too_large"
        assert await said_at_last(client) == expected


@pytest.mark.parametrize(
    ("head", "small"),
    [
        (announcing(KEPT), True),
        (announcing(KEPT + 1), False),
        (CHUNKED, False),
        (request("GET", "/"), True),
    ],
)
async def test_only_a_short_announced_body_is_kept_for_another_try(head: bytes, small: bool) -> None:
    told = asyncio.Event()
    found = []

    async def handler(raw: ClientRequest) -> None:
        found.append(ClientBody(raw, 10 * KEPT).is_within(KEPT))
        told.set()
        send_text(raw, "")

    async with serving(handler) as port, wire(port) as client:
        await client.say(head)
        await told.wait()
    assert found == [small]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_stops_in_the_middle_is_given_up(streamed: bool) -> None:
    async with reading(streamed=streamed, body_idle_s=0.05) as client:
        await client.say(announcing(10), b"half")
        expected = "BodyStalled, request_timeout" if streamed else "small: request_timeout"
        assert await said_at_last(client) == expected


async def test_a_client_that_is_slow_but_goes_on_is_not() -> None:
    async with reading(body_idle_s=1.0) as client:
        await client.say(announcing(10))
        for _ in range(10):
            await client.say(b"x")
            await asyncio.sleep(0.12)
        assert await said(client) == "small: 10 bytes"


async def test_a_client_that_goes_on_for_ever_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is never idle: a body of 64 KiB could last a week."""
    monkeypatch.setattr(client_body, "WHOLE_S", 0.2)

    async def drip(client: Wire) -> None:
        for _ in range(1000):
            await client.say(b"x")
            await asyncio.sleep(0.01)

    async with reading() as client, asyncio.TaskGroup() as group:
        await client.say(announcing(1000))
        dripping = group.create_task(drip(client))
        assert await said_at_last(client) == "small: request_timeout"
        dripping.cancel()


@pytest.mark.parametrize("garbage", [b"zz\r\n", b"-1\r\n", b"1\r\nxx\r\n", b"ffffffffffffffffff\r\n"])
async def test_chunks_that_are_none_are_a_bad_request(garbage: bytes) -> None:
    async with reading() as client:
        await client.say(CHUNKED)
        await client.say(b"1\r\nx\r\n", garbage)
        assert await said_at_last(client) in ("large: bad_request", "bad_request")


@pytest.mark.parametrize(
    ("head", "reply"),
    [
        (announcing(2, "Expect: 100-continue"), "HTTP/1.1 100 Continue"),
        (announcing(2, "Expect: 100-Continue"), "HTTP/1.1 100 Continue"),
        (announcing(2), "HTTP/1.1 200 OK"),
        (announcing(2, "Expect: more"), "HTTP/1.1 200 OK"),
        (announcing(LIMIT + 1, "Expect: 100-continue"), "HTTP/1.1 200 OK"),
        (request("GET", "/", "Expect: 100-continue"), "HTTP/1.1 200 OK"),
        (announcing(2, "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"), "HTTP/1.1 200 OK"),
    ],
)
async def test_only_a_client_that_waits_and_may_go_on_is_told_so(head: bytes, reply: str) -> None:
    async with reading() as client:
        await client.say(head)
        if "100" not in reply and b"Content-Length" in head:
            await client.say(b"ok")
        assert (await client.reader.readline()).decode().strip() == reply


async def test_an_expectation_we_do_not_know_is_refused() -> None:
    async with reading() as client:
        await client.say(announcing(2, "Expect: 100-continue, more"))
        assert await said(client) == "not read: bad_expectation"
