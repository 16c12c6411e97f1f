"""What the gateway itself answers: whole, small, and in one shape."""

from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from gateway.errors import COMMON_HEADERS, GatewayError, encode
from gateway.runtime.exchange import Exchange, Pairs

JSON: Pairs = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))


class Reply(NamedTuple):
    """An endpoint's answer. `headers` include its `Content-Type`."""

    status: int
    body: bytes
    headers: Pairs = JSON


def json_reply(body: object, *, status: int = 200, headers: Pairs = ()) -> Reply:
    return Reply(status, orjson.dumps(body), (*JSON, *headers) if headers else JSON)


def error_reply(error: GatewayError, request_id: str) -> Reply:
    return Reply(error.status, encode(error, request_id, now_iso()), (*COMMON_HEADERS, *error.headers))


def now_iso() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def send(exchange: Exchange, reply: Reply) -> None:
    """Writes the reply. Raises `ConnectionResetError` when the client has gone."""
    own = exchange.answer_headers(reply.headers)
    if exchange.request.method == "HEAD" and reply.status != 204:
        # The body stays here, so its length is said as any other header.
        own.append(("Content-Length", str(len(reply.body))))
    exchange.request.send(reply.status, own, reply.body)
