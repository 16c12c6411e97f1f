"""What the gateway itself answers: whole, small, and in one shape."""

from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from gateway.answer_head import BODILESS
from gateway.errors import COMMON_HEADERS, GatewayError, encode
from gateway.runtime.exchange import Exchange, Pairs
from gateway.settings_shaping import RedirectSettings, RespondSettings

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


def respond_reply(respond: RespondSettings) -> Reply:
    """What a route answers that asks no service."""
    headers = [(name, value.get_secret_value()) for name, value in respond.headers.items()]
    media_type = respond.media_type()
    if media_type is not None:
        headers.insert(0, ("Content-Type", media_type))
    return Reply(respond.status, respond.body.encode(), tuple(headers))


def redirect_reply(redirect: RedirectSettings, path: str, query: str) -> Reply:
    """To `path`, which a request was mapped to, with that raw query; both as they came, escapes kept.

    The host is the settings' or none: then the client stays where it asked, whatever its `Host` says.
    """
    location = redirect.origin + path + (query if redirect.keep_query else "")
    return Reply(redirect.status, b"", (("Location", location),))


def now_iso() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def send(exchange: Exchange, reply: Reply) -> None:
    """Writes the reply. Raises `ConnectionResetError` when the client has gone."""
    own = exchange.answer_headers(reply.headers)
    if exchange.request.method == "HEAD" and reply.status not in BODILESS:
        # The body stays here, so its length is said as any other header.
        own.append(("Content-Length", str(len(reply.body))))
    exchange.request.send(reply.status, own, reply.body)
