import orjson
import pytest

from gateway.errors import Reason, gateway_error
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.reply import Reply, error_reply, json_reply, now_iso, send
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
