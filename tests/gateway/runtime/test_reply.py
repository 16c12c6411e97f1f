from typing import Any

import orjson
import pytest

from gateway.errors import Reason, gateway_error
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.reply import (
    Reply,
    error_reply,
    json_reply,
    now_iso,
    redirect_reply,
    respond_reply,
    send,
)
from gateway.settings_shaping import RedirectSettings, RespondSettings
from tests.gateway.runtime.gateways import RawAnswer, ask, exchange_for, serving


async def answered(method: str, reply: Reply) -> RawAnswer:
    async def handler(request: ClientRequest) -> None:
        send(exchange_for(request), reply)

    async with serving(handler) as port:
        return await ask(port, method, "/")


async def test_a_reply_goes_out_whole_with_its_length() -> None:
    answer = await answered("GET", json_reply({"message": "да"}))
    assert (answer.status, answer.json()) == (200, {"message": "да"})
    assert answer.one("Content-Length") == str(len(answer.body))
    assert answer.one("Content-Type") == "application/json; charset=utf-8"
    assert answer.one("Cache-Control") == "no-store"
    assert answer.one("X-Request-Id") == "request-1"
    assert answer.all("Server") == []


async def test_head_gets_the_head_alone() -> None:
    answer = await answered("HEAD", json_reply({"message": "pong"}))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.one("Content-Length") == "18"


async def test_no_content_has_no_length_either() -> None:
    answer = await answered("OPTIONS", Reply(204, b"", (("Allow", "GET"),)))
    assert (answer.status, answer.one("Allow"), answer.all("Content-Length")) == (204, "GET", [])


@pytest.mark.parametrize("reason", [Reason.NO_CAPACITY, Reason.INVALID_TOKEN, Reason.METHOD_NOT_ALLOWED])
async def test_errors_have_one_shape_and_their_own_headers(reason: Reason) -> None:
    error = gateway_error(reason)
    answer = await answered("GET", error_reply(error, "request-1"))
    body = orjson.loads(answer.body)
    assert answer.status == error.status
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "error": error.error,
        "message": error.message,
        "reason": reason.value,
        "request_id": "request-1",
    }
    assert answer.one("X-Content-Type-Options") == "nosniff"
    for name, value in error.headers:
        assert answer.one(name) == value


def test_times_are_utc_with_milliseconds() -> None:
    text = now_iso()
    assert len(text) == len("2026-11-21T01:02:03.456Z")
    assert (text[10], text[19], text[-1]) == ("T", ".", "Z")


@pytest.mark.parametrize(
    ("settings", "media_type"),
    [
        ({"body": '{"up": true}'}, ["application/json"]),
        ({"body": "\n[1]"}, ["application/json"]),
        ({"body": "User-agent: *"}, ["text/plain; charset=utf-8"]),
        ({"body": "{oops", "content_type": "text/x-template"}, ["text/x-template"]),
        ({}, []),
        ({"content_type": "text/css"}, ["text/css"]),
        ({"status": 204}, []),
    ],
)
async def test_what_a_route_responds_has_a_type_where_it_has_a_body(
    settings: dict[str, Any], media_type: list[str]
) -> None:
    respond = RespondSettings.model_validate({"headers": {"X-A": "1"}, **settings})
    answer = await answered("GET", respond_reply(respond))
    assert (answer.status, answer.body.decode()) == (respond.status, respond.body)
    assert (answer.all("Content-Type"), answer.one("X-A")) == (media_type, "1")
    to_head = await answered("HEAD", respond_reply(respond))
    assert to_head.all("Content-Length") == answer.all("Content-Length")


@pytest.mark.parametrize(
    ("to", "keep_query", "location"),
    [
        ("/new/*", True, "/new/%41?a=%20"),
        ("/new/*", False, "/new/%41"),
        ("https://new.example/*", True, "https://new.example/new/%41?a=%20"),
        ("http://[::1]:80", True, "http://[::1]:80/new/%41?a=%20"),
    ],
)
async def test_a_redirect_leads_where_the_settings_say(to: str, keep_query: bool, location: str) -> None:
    redirect = RedirectSettings(to=to, keep_query=keep_query)
    answer = await answered("GET", redirect_reply(redirect, "/new/%41", "?a=%20"))
    assert (answer.status, answer.one("Location"), answer.body) == (308, location, b"")
