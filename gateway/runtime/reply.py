"""What the gateway itself answers: whole, small, and in one shape."""

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from aiohttp import web

from gateway.errors import COMMON_HEADERS, GatewayError, encode
from gateway.runtime.exchange import Exchange, Pairs
from gateway.runtime.http_server import PlainResponse

JSON: Pairs = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An endpoint's answer. `headers` include its `Content-Type`."""

    status: int
    body: bytes
    headers: Pairs = JSON


def json_reply(body: object, *, status: int = 200, headers: Pairs = ()) -> Reply:
    return Reply(status, orjson.dumps(body), (*JSON, *headers))


def error_reply(error: GatewayError, request_id: str) -> Reply:
    return Reply(error.status, encode(error, request_id, now_iso()), (*COMMON_HEADERS, *error.headers))


def now_iso() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def send(exchange: Exchange, reply: Reply) -> web.StreamResponse:
    """Writes the reply. Raises `ConnectionError` when the client has gone."""
    response = PlainResponse(status=reply.status, headers=exchange.answer_headers(reply.headers))
    if reply.status != 204:
        response.content_length = len(reply.body)
    if exchange.request.method == "HEAD" or reply.status == 204:
        await response.prepare(exchange.request)
        await response.write_eof()
    else:
        await response.prepare(exchange.request)
        await response.write_eof(reply.body)
    return response
