"""Faults of aiohttp's parser. Those without a class of their own are told apart by what is held here."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from gateway.errors import Reason
from gateway.runtime.parse_faults import MAX_FIELD, MAX_LINE, HeadTooLong, NotHttp, reason_of


async def fault_of(data: bytes) -> HttpProcessingError:
    async def nobody(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    connection = RequestHandler(
        web.Server(nobody),
        loop=asyncio.get_running_loop(),
        max_line_size=MAX_LINE,
        max_field_size=MAX_FIELD,
    )
    assert connection._parser is not None
    with pytest.raises(HttpProcessingError) as caught:
        connection._parser.feed_data(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n", Reason.URI_TOO_LONG),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_FIELD + b"\r\n", Reason.HEADERS_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"a" * MAX_FIELD + b"a: x\r\n", Reason.HEADERS_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 129 + b"\r\n", Reason.HEADERS_TOO_LARGE),
        (b"BREW / HTTP/1.1\r\n", Reason.BAD_METHOD),
        (b"get / HTTP/1.1\r\n", Reason.BAD_METHOD),
        (b"X" * 40 + b" / HTTP/1.1\r\n", Reason.BAD_METHOD),
        (b"X" * 9000 + b" / HTTP/1.1\r\n", Reason.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Reason.BAD_REQUEST),
        (b"\x00\x01 GET / HTTP/1.1\r\n", Reason.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nX\r\n\r\n", Reason.BAD_REQUEST),
        (b"GET / HTTP/3.0\r\n", Reason.BAD_VERSION),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason.BAD_VERSION),
        (b"GET / HTTQ/1.1\r\n", Reason.BAD_REQUEST),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value[:40]),
)
async def test_every_fault_of_the_parser_has_its_reason(data: bytes, reason: Reason) -> None:
    assert reason_of(await fault_of(data)) == reason.value


async def test_the_limits_themselves_are_allowed() -> None:
    line = (
        b"GET /" + b"a" * (MAX_LINE - 1) + b" HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_FIELD - 1) + b"\r\n"
    )
    with pytest.raises(HttpProcessingError, match="Invalid"):
        raise await fault_of(line + b"\x00: ends this test\r\n\r\n")


def test_what_is_not_the_parsers_has_a_reason_too() -> None:
    assert reason_of(HeadTooLong()) == Reason.HEADERS_TOO_LARGE
    assert reason_of(NotHttp()) == Reason.BAD_VERSION
    assert reason_of(RuntimeError()) == Reason.INTERNAL_ERROR
