"""One request through the gateway: the order of the checks, and what each of them says."""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, json_reply
from tests.balancer.origins import answers, counts_requests, origin
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
    RawAnswer,
    ask,
    gateway,
    request,
    serving,
    settings_of,
    token,
    wire,
)

PAGE = "https://chat.example"


async def raw(port: int, data: bytes | str) -> RawAnswer:
    async with wire(port) as client:
        await client.say(data)
        return await client.answer()


# The one shape of an error


@pytest.mark.parametrize(
    ("line", "status", "error", "reason"),
    [
        ("GET /a/../b", 400, "bad_request", "bad_path"),
        ("GET /nowhere", 404, "not_found", "no_route"),
        ("GET /mine/x", 401, "unauthorized", "missing_token"),
        ("GET /inside/x", 403, "forbidden", "forbidden"),
        ("TRACE /open/x", 405, "method_not_allowed", "method_not_allowed"),
    ],
)
async def test_every_error_has_the_same_five_fields(line: str, status: int, error: str, reason: str) -> None:
    async with gateway(internal={"networks": ["10.0.0.0/8"]}) as running:
        method, target = line.split()
        answer = await ask(running.port, method, target, "X-Request-Id: mine-1")
        body = answer.json()
        assert answer.status == status
        assert list(body) == ["error", "message", "reason", "timestamp", "request_id"]
        assert (body["error"], body["reason"], body["request_id"]) == (error, reason, "mine-1")
        assert answer.one("X-Request-Id") == "mine-1"
        assert answer.one("X-Content-Type-Options") == "nosniff"
        assert answer.one("Content-Type") == "application/json; charset=utf-8"
        told = datetime.fromisoformat(body["timestamp"])
        assert body["timestamp"].endswith("Z")
        assert abs(datetime.now(UTC) - told) < timedelta(seconds=10)


async def test_no_answer_repeats_what_was_sent() -> None:
    canary = "canary-4711"
    async with gateway() as running:
        for target in (f"/{canary}", f"/a/../{canary}", f"/get_service_instance?service_name={canary}%00"):
            answer = await ask(running.port, "GET", target, f"X-Other: {canary}", f"token: {canary}")
            assert canary not in answer.body.decode()


# Is it a request that we carry?


@pytest.mark.parametrize(
    "target",
    [
        "/a/../b",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/./a",
        "/a/..",
        "/a/..;x/b",
        "//a",
        "/a//b",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0aX:y",
        "/a%7f",
        "/a%zz",
        "/a#b",
        "/a?b#c",
    ],
)
async def test_a_path_that_two_could_read_otherwise_is_refused(target: str) -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", target)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_path"), answer
        assert there.connections == 0


@pytest.mark.parametrize("target", ["*", "ftp:a", "a", "http://", "?a"])
async def test_a_target_that_is_no_path_at_all_is_refused_too(target: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", target)
        assert answer.status == 400
        assert answer.json()["reason"] in ("bad_path", "bad_host", "bad_request")


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["Host: "],
        ["Host: a", "Host: a"],
        ["Host: a, b"],
        ["Host: user@a"],
        ["Host: a/b"],
        ["Host: a:0"],
        ["Host: a:99999"],
        ["Host: a:b"],
        ["Host: [::1"],
        ["Host: [zz]"],
    ],
)
async def test_a_host_that_is_none_is_refused(hosts: list[str]) -> None:
    async with gateway() as running:
        answer = await raw(running.port, "\r\n".join(["GET /ping HTTP/1.1", *hosts, "", ""]))
        assert answer.status == 400
        assert answer.json()["reason"] in ("bad_host", "bad_request")


async def test_http_1_0_needs_no_host_and_an_absolute_target_must_name_the_same_one() -> None:
    async with gateway() as running:
        assert (await raw(running.port, "GET /ping HTTP/1.0\r\n\r\n")).status == 200
        same = await raw(running.port, "GET http://a:80/ping HTTP/1.1\r\nHost: a\r\n\r\n")
        assert same.status == 200
        other = await raw(running.port, "GET http://evil/ping HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (other.status, other.json()["reason"]) == (400, "bad_host")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("TRACE", "method_not_allowed"),
        ("get", "bad_method"),
        ("BREW", "bad_method"),
        ("X" * 40, "bad_method"),
    ],
)
async def test_a_method_that_is_not_carried_is_a_405_that_says_which_are(method: str, reason: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, method, "/open/x")
        assert (answer.status, answer.json()["reason"]) == (405, reason)
        assert answer.one("Allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


async def test_connect_opens_no_tunnel() -> None:
    async with gateway() as running:
        answer = await raw(running.port, "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n")
        assert answer.status in (400, 405)


@pytest.mark.parametrize("line", ["GET /ping HTTP/2.0", "GET /ping"])
async def test_a_version_that_is_not_spoken_is_a_505(line: str) -> None:
    async with gateway() as running:
        answer = await raw(running.port, f"{line}\r\nHost: a\r\n\r\n")
        assert (answer.status, answer.json()["reason"]) == (505, "bad_version")


async def test_options_for_the_server_itself() -> None:
    async with gateway() as running:
        answer = await ask(running.port, "OPTIONS", "*")
        assert (answer.status, answer.body) == (204, b"")
        assert "GET" in answer.one("Allow")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"GET /ping HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        request("POST", "/open/x", "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request_get_our_400_and_the_end(
    data: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with gateway() as running, wire(running.port) as client:
        capsys.readouterr()
        await client.say(data)
        answer = await client.answer()
        assert answer.status == 400
        assert list(answer.json()) == ["error", "message", "reason", "timestamp", "request_id"]
        assert await client.rest() == b""
        assert (await ask(running.port, "GET", "/ping")).status == 200
    logged = capsys.readouterr()
    assert "Traceback" not in logged.out + logged.err + caplog.text


# Where does it go, and may it?


async def test_a_path_with_a_route_and_another_method_is_a_405_with_what_is_allowed() -> None:
    routes = [
        {"path": "/a", "service": "auth", "access": "public", "methods": ["GET"]},
        {"path": "/a", "service": "auth", "access": "public", "methods": ["PUT"]},
        {"path": "/*", "service": "auth", "access": "public", "methods": ["DELETE"]},
    ]
    async with gateway(routes=routes) as running:
        answer = await ask(running.port, "DELETE", "/a")
        assert (answer.status, answer.one("Allow")) == (405, "GET, HEAD, PUT")


async def test_the_gateways_own_paths_come_before_every_route() -> None:
    routes = [{"path": "/*", "service": "auth", "access": "public"}]
    async with origin(counts_requests) as there, gateway(there.instance, routes=routes) as running:
        assert (await ask(running.port, "GET", "/ping")).body != b"ok"
        assert (await ask(running.port, "POST", "/ping")).status == 405
        assert (await ask(running.port, "GET", "/ping/more")).body == b"ok"


# Bodies that are too long


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 101", b"x" * 101),
        ("Content-Length: 101", b""),
        ("Transfer-Encoding: chunked", b"65\r\n" + b"x" * 101 + b"\r\n"),
    ],
)
async def test_a_body_over_the_limit_is_a_413(framing: str, body: bytes) -> None:
    async with (
        origin(counts_requests) as there,
        gateway(there.instance, listen={"max_body_bytes": 100}) as running,
        wire(running.port) as client,
    ):
        await client.say(request("POST", "/open/x", framing), body)
        answer = await client.answer()
        assert (answer.status, answer.json()["reason"]) == (413, "body_too_large")
        assert there.bodies == []


# Browsers


async def test_a_preflight_is_answered_here_and_the_answer_names_the_origin() -> None:
    cors = {"origins": [PAGE], "methods": ["POST"], "headers": ["token"], "credentials": True}
    async with origin(counts_requests) as there, gateway(there.instance, cors=cors) as running:
        asking = (f"Origin: {PAGE}", "Access-Control-Request-Method: POST")
        preflight = await ask(running.port, "OPTIONS", "/mine/x", *asking)
        assert (preflight.status, there.connections) == (204, 0)
        assert preflight.one("Access-Control-Allow-Origin") == PAGE
        assert preflight.one("Access-Control-Allow-Methods") == "POST"
        assert preflight.one("Access-Control-Allow-Credentials") == "true"

        answer = await ask(running.port, "GET", "/open/x", f"Origin: {PAGE}")
        assert answer.one("Access-Control-Allow-Origin") == PAGE
        refused = await ask(running.port, "GET", "/mine/x", f"Origin: {PAGE}")
        assert (refused.status, refused.one("Access-Control-Allow-Origin")) == (401, PAGE)


async def test_another_origin_is_told_nothing() -> None:
    async with gateway(cors={"origins": [PAGE]}) as running:
        asking = ("Origin: https://evil.example", "Access-Control-Request-Method: POST")
        preflight = await ask(running.port, "OPTIONS", "/mine/x", *asking)
        assert preflight.status == 204
        assert preflight.all("Access-Control-Allow-Origin") == []
        assert "Origin" in preflight.one("Vary")


async def test_without_settings_for_browsers_options_is_a_method_like_others() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        asking = (f"Origin: {PAGE}", "Access-Control-Request-Method: POST")
        assert (await ask(running.port, "OPTIONS", "/open/x", *asking)).body == b"ok"
        assert there.requests == 1


@pytest.mark.parametrize("target", ["/nowhere", "/mine/x", "/a/../b"])
async def test_a_page_may_read_why_it_was_refused_also_where_there_is_nothing(target: str) -> None:
    async with gateway(cors={"origins": ["https://*.chat.example"]}) as running:
        page = "Origin: https://a.chat.example"
        refused = await ask(running.port, "GET", target, page)
        assert refused.status in (400, 401, 404)
        assert refused.one("Access-Control-Allow-Origin") == "https://a.chat.example"
        assert refused.all("Vary") == ["Origin"]
        preflight = await ask(running.port, "OPTIONS", target, page, "Access-Control-Request-Method: PUT")
        assert preflight.status == (400 if ".." in target else 204)
        assert preflight.one("Access-Control-Allow-Origin") == "https://a.chat.example"


async def test_what_an_instance_says_to_pages_is_not_heard_beside_the_gateway() -> None:
    theirs = (
        *(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Vary: Accept-Encoding"),
        *(b"Access-Control-Allow-Origin: *", b"access-control-allow-CREDENTIALS: true"),
        *(b"Access-Control-Expose-Headers: X-Secret", b"", b"ok"),
    )
    said_so = b"\r\n".join(theirs)
    async with origin(answers(said_so)) as there:
        async with gateway(there.instance, cors={"origins": [PAGE], "expose": ["X-Total"]}) as running:
            for page, allowed in ((PAGE, [PAGE]), ("https://evil.example", [])):
                answer = await ask(running.port, "GET", "/open/x", f"Origin: {page}")
                assert answer.all("Access-Control-Allow-Origin") == allowed
                assert answer.all("Access-Control-Allow-Credentials") == []
                assert answer.all("Vary") == ["Accept-Encoding", "Origin"]
                exposed = ", ".join(answer.all("Access-Control-Expose-Headers"))
                assert ("X-Total" in exposed, "X-Secret" in exposed) == (bool(allowed), False)
        async with gateway(there.instance) as running:
            answer = await ask(running.port, "GET", "/open/x", f"Origin: {PAGE}")
            assert answer.one("Access-Control-Allow-Origin") == "*", "without settings, instances decide"


async def test_answers_say_how_long_they_took_where_that_is_wanted() -> None:
    async with origin(counts_requests) as there:
        for wanted in (True, False):
            async with gateway(there.instance, listen={"process_time": wanted}) as running:
                for path in ("/open/x", "/ping", "/nowhere"):
                    told = (await ask(running.port, "GET", path)).all("X-Process-Time")
                    assert len(told) == wanted
                    assert all(re.fullmatch(r"[0-9]\.[0-9]{4}", seconds) for seconds in told)


async def test_another_host_than_ours_is_a_421_for_everything() -> None:
    ours = {"allowed_hosts": ["localhost", "*.chat.example"]}
    async with origin(counts_requests) as there, gateway(there.instance, listen=ours) as running:
        for host, status in (("a.chat.example:443", 200), ("LOCALHOST", 200), ("evil.example", 421)):
            for path in ("/open/x", "/health/live"):
                answer = await raw(running.port, request("GET", path, host=host))
                assert answer.status == status, (host, path)
        assert answer.json()["reason"] == "unknown_host"
        without = await raw(running.port, "GET /ping HTTP/1.0\r\n\r\n")
        assert (without.status, without.json()["error"]) == (421, "misdirected_request")
        assert there.requests == 2


# Faults of our own


def endpoint(answer: Callable[[Exchange], Any], access: Any = "public", *, quiet: bool = False) -> Endpoint:
    return Endpoint("/ours", ("GET",), access, answer, quiet=quiet)


async def breaks(_: Exchange) -> Reply | GatewayError:
    raise RuntimeError("the secret is 42")


async def test_a_bug_in_an_endpoint_is_a_500_without_a_word_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        dispatcher(settings_of(), [endpoint(breaks)]) as (made, logged),
        serving(made, made.refusals.refuse) as port,
        wire(port) as client,
    ):
        for _ in range(2):  # the connection is not to blame and goes on
            await client.say(request("GET", "/ours", "X-Request-Id: mine-1"))
            answer = await client.answer()
            assert (answer.status, answer.json()["reason"]) == (500, "internal_error")
            assert b"secret" not in answer.body
    assert b'"reason":"internal_error"' in logged.getvalue()
    assert "the secret is 42" in capsys.readouterr().out, "the operator must be told"


async def test_a_limiter_that_breaks_is_a_500_and_not_a_silence() -> None:
    class Breaks:
        async def hit(self, rules: Any) -> None:
            raise RuntimeError

        def refusal(self, rules: Any) -> None:
            raise RuntimeError

    settings = settings_of()
    async with (
        dispatcher(settings, limiter=Breaks()) as (made, _),
        serving(made, made.refusals.refuse) as port,
    ):
        assert (await ask(port, "GET", "/open/x")).status == 500


async def test_what_was_promised_is_undone_when_the_answer_does_not_get_through() -> None:
    began, undone = asyncio.Event(), asyncio.Event()

    async def promises(exchange: Exchange) -> Reply | GatewayError:
        async def undo() -> None:
            undone.set()

        exchange.on_undelivered = undo
        began.set()
        await asyncio.Event().wait()
        return json_reply({})

    async with dispatcher(settings_of(), [endpoint(promises)]) as (made, logged), serving(made) as port:
        async with wire(port) as client:
            await client.say(request("GET", "/ours"))
            await began.wait()
        async with asyncio.timeout(5):
            await undone.wait()
    assert b'"status":499' in logged.getvalue()


async def test_what_was_promised_stands_when_the_answer_got_through() -> None:
    undone = []

    async def promises(exchange: Exchange) -> Reply | GatewayError:
        async def undo() -> None:
            undone.append(exchange)

        exchange.on_undelivered = undo
        return json_reply({})

    async with dispatcher(settings_of(), [endpoint(promises)]) as (made, _), serving(made) as port:
        assert (await ask(port, "GET", "/ours")).status == 200
    assert undone == []


# What is logged


async def test_a_request_is_one_line_with_what_became_of_it() -> None:
    async with origin(counts_requests) as there:
        settings, instances = settings_of(), (there.instance,)
        async with dispatcher(settings, instances=instances) as (made, logged), serving(made) as port:
            await ask(port, "GET", "/mine/x?secret=1", f"token: {token('ada')}", "X-Request-Id: mine-1")
    (line,) = logged.getvalue().splitlines()
    event = json.loads(line)
    assert event["request_id"] == "mine-1"
    assert (event["method"], event["path"], event["route"]) == ("GET", "/mine/x", "/mine/*")
    assert (event["status"], event["reason"], event["user"]) == (200, None, "ada")
    assert (event["service"], event["instance"], event["attempts"]) == ("auth", "a", 1)


async def test_no_token_ever_reaches_a_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    good = token("ada")
    bad = "canary-" + token("ada", secret="of somebody who would like to be ada, and is not")
    async with dispatcher(settings_of()) as (made, logged), serving(made) as port:
        for each in (good, bad):
            for target in (f"/mine/x?token={each}", f"/nowhere?ticket={each}", f"/a/../{each}?{each}"):
                await ask(port, "GET", target, f"token: {each}")
                await ask(port, "GET", target, f"Authorization: Bearer {each}", f"Cookie: t={each}")
    captured = capsys.readouterr()
    words = logged.getvalue().decode() + captured.out + captured.err + caplog.text
    assert logged.getvalue().count(b"\n") == 12
    assert good.split(".")[2] not in words
    assert "canary" not in words


@pytest.mark.parametrize(("quiet", "lines"), [(True, 0), (False, 1)])
async def test_what_machines_ask_all_the_time_is_logged_only_when_it_fails(quiet: bool, lines: int) -> None:
    async def answers(exchange: Exchange) -> Reply | GatewayError:
        return json_reply({})

    ours = endpoint(answers, "internal", quiet=quiet)
    async with dispatcher(settings_of(), [ours]) as (made, logged), serving(made) as port:
        assert (await ask(port, "GET", "/ours")).status == 200
        assert logged.getvalue() == b""
        assert (await ask(port, "GET", "/ours", "X-Forwarded-For: 203.0.113.7")).status == 403
    assert logged.getvalue().count(b"\n") == lines + 1
