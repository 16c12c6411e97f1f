import sys
from typing import NoReturn

import pytest
from aiohttp import web

from examples.chat.service import answer
from examples.chat.threads import Busy
from examples.devmatch import users
from examples.standins.service import (
    Refusal,
    Surroundings,
    caller,
    error_body,
    new_app,
    only_services,
    read_body,
    serve,
    timestamp,
)
from tests.examples.standins.clients import alone


async def breaks(_: web.Request) -> NoReturn:
    raise RuntimeError("a secret detail")


async def busy(_: web.Request) -> NoReturn:
    raise Busy


async def says_no(_: web.Request) -> NoReturn:
    raise Refusal(409, "not twice")


async def echo(request: web.Request) -> web.Response:
    return answer(await read_body(request, {"text": str}, {"count": int}))


async def who(request: web.Request) -> web.Response:
    return answer({"who": caller(request)})


async def inside(request: web.Request) -> web.Response:
    only_services(request, "the services' key")
    return answer({})


def build(given: Surroundings) -> web.Application:
    app = new_app(given)
    app.router.add_get("/breaks", breaks)
    app.router.add_get("/busy", busy)
    app.router.add_get("/no", says_no)
    app.router.add_post("/echo", echo)
    app.router.add_get("/who", who)
    app.router.add_get("/inside", inside)
    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "error", "message"),
    [
        ("GET", "/nowhere", 404, "not_found", "Not Found."),
        ("GET", "/echo", 405, "method_not_allowed", "Method Not Allowed."),
        ("GET", "/breaks", 500, "internal_server_error", "something went wrong here"),
        ("GET", "/busy", 503, "service_unavailable", "too many requests at the moment, try again"),
        ("GET", "/no", 409, "conflict", "not twice"),
        ("GET", "/who", 401, "unauthorized", "who calls? The gateway says so in X-User-Id"),
        ("GET", "/inside", 403, "forbidden", "this endpoint is for services"),
    ],
)
async def test_every_error_has_the_one_shape(
    method: str, path: str, status: int, error: str, message: str
) -> None:
    async with alone(build) as service:
        assert await service.ask(method, path) == (
            status,
            {"error": error, "message": message, "timestamp": timestamp(service.clock.now)},
        )


async def test_a_body_is_read_or_every_wrong_field_is_named() -> None:
    async with alone(build) as service:
        assert await service.ask("POST", "/echo", {"text": "a", "more": 1}) == (200, {"text": "a"})
        status, body = await service.ask("POST", "/echo", {"count": "1"})
        assert (status, body["message"]) == (400, "text: is missing; count: must be a whole number")
        status, body = await service.ask("POST", "/echo", [])
        assert (status, body["message"]) == (400, "the body must be a JSON object")


async def test_who_calls_is_whom_the_gateway_names() -> None:
    async with alone(build) as service:
        assert await service.ask("GET", "/who", who="ada") == (200, {"who": "ada"})


def test_errors_and_times_look_like_the_gateways() -> None:
    assert error_body(422, "no", 0.5) == {
        "error": "unprocessable_entity",
        "message": "no",
        "timestamp": "1970-01-01T00:00:00.500Z",
    }


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_stand_in_without_its_secret_does_not_start(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["users", "--port", "9001"])
    monkeypatch.setenv("SIGNING_KEY", secret)
    with pytest.raises(SystemExit, match=f"SIGNING_KEY must have at least 32 bytes, it has {len(secret)}"):
        serve("user-service", build, module="users", secret="SIGNING_KEY")


def test_a_wrong_setting_of_a_stand_in_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["users", "--port", "9001"])
    monkeypatch.setenv("SIGNING_KEY", "s" * 32)
    monkeypatch.setenv("JWT_EXPIRATION_HOURS", "soon")
    with pytest.raises(SystemExit, match=r"^JWT_EXPIRATION_HOURS must be a whole number from 1 to 8760$"):
        serve("user-service", users.build, module="users", secret="SIGNING_KEY")
