import argparse
from typing import NoReturn

import pytest
import structlog
from aiohttp import web

from examples.chat.service import (
    arguments,
    configure_logging,
    database_argument,
    is_internal,
    jwt_secret,
    new_app,
    read_object,
)
from examples.chat.threads import Busy
from tests.examples.chat.clients import KEY, SECRET, running


async def breaks(_: web.Request) -> NoReturn:
    raise RuntimeError("a secret detail")


async def has_a_bug(request: web.Request) -> NoReturn:
    password = request.headers["Password"]
    raise KeyError(len(password))


async def busy(_: web.Request) -> NoReturn:
    raise Busy


async def echo(request: web.Request) -> web.Response:
    body = await read_object(request)
    return body if isinstance(body, web.Response) else web.json_response(body)


def app() -> web.Application:
    app = new_app()
    app.router.add_get("/breaks", breaks)
    app.router.add_get("/bug", has_a_bug)
    app.router.add_get("/busy", busy)
    app.router.add_post("/echo", echo)
    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "not found"),
        ("GET", "/echo", 405, "method not allowed"),
        ("GET", "/breaks", 500, "something went wrong here"),
        ("GET", "/busy", 503, "too many requests at the moment, try again"),
    ],
)
async def test_every_error_has_the_one_shape(method: str, path: str, status: int, message: str) -> None:
    async with running(app()) as client, client.request(method, path) as answer:
        assert answer.status == status
        assert await answer.json() == {"status": "error", "message": message}


async def test_a_bug_is_logged_without_what_it_had_in_hands(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        async with running(app()) as client, client.get("/bug", headers={"Password": SECRET}) as answer:
            assert answer.status == 500
    finally:
        structlog.reset_defaults()
    logged = capsys.readouterr().out
    assert "request_failed" in logged
    assert "KeyError" in logged
    assert SECRET not in logged


async def test_an_error_keeps_the_headers_that_help() -> None:
    async with running(app()) as client:
        async with client.get("/echo") as answer:
            assert answer.headers["Allow"] == "POST"
        async with client.get("/busy") as answer:
            assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is not valid JSON"),
        (b"{", 400, "the body is not valid JSON"),
        (b'{"a": NaN}', 400, "the body is not valid JSON"),
        (b'{"a": "\xff"}', 400, "the body is not valid JSON"),
        (b'{"a": "\\ud800"}', 400, "the body is not valid JSON"),
        (b"[" * 5000, 400, "the body is not valid JSON"),
        (b"[1]", 400, "the body must be a JSON object"),
        (b'"text"', 400, "the body must be a JSON object"),
        (b'{"a": "' + b"x" * 20_000 + b'"}', 413, "the body is larger than 16384 bytes"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(body: bytes, status: int, message: str) -> None:
    async with running(app()) as client, client.post("/echo", data=body) as answer:
        assert answer.status == status
        assert (await answer.json())["message"].startswith(message)


async def test_health_answers() -> None:
    async with running(app()) as client, client.get("/health") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("remote", "given", "key", "inside"),
    [
        ("127.0.0.1", "", "", True),
        ("::1", "", "", True),
        ("127.0.0.1", "", KEY, False),
        ("127.0.0.1", KEY, KEY, True),
        ("192.0.2.7", "", KEY, False),
        ("192.0.2.7", "wrong", KEY, False),
        ("192.0.2.7", "\udcff", KEY, False),
        ("192.0.2.7", KEY, KEY, True),
        ("192.0.2.7", "", "", False),
        (None, "", "", False),
    ],
)
def test_who_is_internal(remote: str | None, given: str, key: str, inside: bool) -> None:
    assert is_internal(remote, given, key) is inside


def test_arguments_have_defaults_that_fit_one_machine() -> None:
    parser = arguments("auth")
    database_argument(parser)
    options = parser.parse_args(["--port", "9001", "--database", "chat.db"])
    assert isinstance(options, argparse.Namespace)
    assert (options.host, options.port, options.consul, options.id) == (
        "127.0.0.1", 9001, "127.0.0.1:8500", None,
    )  # fmt: skip


def test_a_missing_or_short_secret_ends_the_program_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    assert jwt_secret() == SECRET
    monkeypatch.setenv("JWT_SECRET", "short")
    with pytest.raises(SystemExit, match="JWT_SECRET must have at least 32 bytes"):
        jwt_secret()
    monkeypatch.delenv("JWT_SECRET")
    with pytest.raises(SystemExit, match="it has 0"):
        jwt_secret()
