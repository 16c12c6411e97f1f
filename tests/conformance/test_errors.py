"""One shape for every error of the gateway's own, over real sockets: also for what is no request at all.

Each row is a client's mistake or a bad day, with the status and the reason that it has to get.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.errors import Reason, gateway_error
from gateway.openapi_answers import Error
from gateway.runtime.app import Gateway
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply
from tests.balancer.origins import (
    Behaviour,
    never_answers,
    origin,
    resets_after_request_read,
    sends_garbage,
    until,
)
from tests.conformance.recorder import recorder
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
    KEY,
    RawAnswer,
    ask,
    gateway,
    post_json,
    request,
    serving,
    settings_of,
    token,
    wire,
)
from tests.servers import free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module", loop_factories=["uvloop"])

CANARY = "canary"
"""In everything that a client says, and in no answer."""
ELSEWHERE = {"networks": ["10.0.0.0/8"], "key": KEY}
REPORT = "/report_instance"
INSIDE = f"X-Internal-Key: {KEY}"
UNUSED = "http://127.0.0.1:9"
SETTINGS: dict[str, Any] = {
    "listen": {"allowed_hosts": ["localhost"], "max_body_bytes": 100},
    "internal": ELSEWHERE,
    "services": {"auth": {"instances": [UNUSED]}, "empty": {}},
    "registry": {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None},
    "routes": [
        {"path": "/open/*", "service": "auth", "access": "public"},
        {"path": "/mine/*", "service": "auth", "access": "user"},
        {"path": "/admins/*", "service": "auth", "access": "user", "require": {"roles": ["admin"]}},
        {"path": "/empty/*", "service": "empty", "access": "public"},
        {"path": "/read", "service": "auth", "access": "public", "methods": ["GET"]},
        {"path": "/rare", "service": "auth", "access": "public", "limit": 0},
        {"path": "/kept/*", "service": "auth", "access": "public", "cache": {}},
    ],
}


def head(
    *lines: str, method: str = "GET", target: str = "/open/canary", host: str = "Host: localhost"
) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", host, *lines, "", ""]).encode()


def user(**claims: Any) -> str:
    return f"Authorization: Bearer {token(CANARY, **claims)}"


ROWS: list[tuple[int, str, bytes]] = [
    # What is no request.
    (400, "bad_request", b"\x16\x03\x01\x02\x00\x01\x00canary\r\n\r\n"),
    (400, "bad_request", b"canary\r\n\r\n"),
    (505, "bad_version", b"GET /canary\r\n\r\n"),
    (400, "bad_request", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (505, "bad_version", head().replace(b"HTTP/1.1", b"HTTP/3.0")),
    (505, "bad_version", b"OPTIONS rtsp://canary/ RTSP/1.0\r\n\r\n"),
    (405, "bad_method", head(method="canary!")),
    (405, "bad_method", head(method="get")),
    (405, "bad_method", head(method="C" * 40)),
    # Its head.
    (400, "bad_request", head("canary")),
    (400, "bad_request", head("X canary: x")),
    (400, "bad_request", head("X: canary\x00")),
    (400, "bad_request", head("X: a", " canary")),
    (400, "bad_request", head("Content-Length: 1", "Content-Length: 2", method="POST")),
    (400, "bad_request", head("Content-Length: canary", method="POST")),
    (400, "bad_request", head("Content-Length: 3", "Transfer-Encoding: chunked", method="POST")),
    (400, "bad_request", head("Transfer-Encoding: canary", method="POST")),
    (414, "uri_too_long", head(target="/canary" * 2000)),
    (431, "headers_too_large", head("X: " + "canary" * 2000)),
    (431, "headers_too_large", head(*(f"X-{n}: canary" for n in range(200)))),
    (431, "headers_too_large", head(*(f"X-{n}: {'canary' * 1000}" for n in range(20)))),
    # Where it goes.
    (400, "bad_path", head(target="/open/../canary")),
    (400, "bad_path", head(target="/open/%2fcanary")),
    (400, "bad_request", head(target="canary")),
    (400, "bad_request", head(host="X: y")),
    (400, "bad_request", head("Host: localhost")),
    (400, "bad_host", head(host="Host: user@canary")),
    (400, "bad_host", head(target="http://canary/open/x")),
    (421, "unknown_host", head(host="Host: canary.example.org")),
    (404, "no_route", head(target="/canary")),
    (404, "no_route", head(target="/docs/canary")),
    (405, "method_not_allowed", head(method="POST", target="/read")),
    (405, "bad_method", head(method="BREW", target="/read")),
    (405, "method_not_allowed", head(method="DELETE", target="/ping")),
    (405, "method_not_allowed", head(method="TRACE")),
    (405, "method_not_allowed", head(method="CONNECT", target="canary:443")),
    # Who asks.
    (401, "missing_token", head(target="/mine/x")),
    (401, "invalid_token", head("Authorization: Bearer canary", target="/mine/x")),
    (401, "expired_token", head(user(lifetime_s=-1000), target="/mine/x")),
    (403, "uid_mismatch", head(user(), "uid: other-canary", target="/mine/x")),
    (403, "missing_role", head(user(), target="/admins/x")),
    (403, "forbidden", head("X-Internal-Key: canary", target="/metrics")),
    (429, "rate_limited", head(target="/rare")),
    # What it brings.
    (413, "body_too_large", head("Content-Length: 101", method="POST")),
    (417, "bad_expectation", head("Expect: canary", "Content-Length: 5", method="POST")),
    (400, "bad_json", head(INSIDE, "Content-Length: 6", method="POST", target=REPORT) + b"canary"),
    (400, "bad_parameter", head(INSIDE, "Content-Length: 2", method="POST", target=REPORT) + b"{}"),
    (400, "missing_parameter", head(INSIDE, target="/get_service_instance")),
    (404, "unknown_service", head(INSIDE, target="/get_service_instance?service_name=canary")),
    (400, "bad_parameter", head("X-Request-Timeout-Ms: canary")),
    # Where nobody answers.
    (502, "upstream_refused", head()),
    (503, "no_instances", head(target="/empty/canary")),
    (504, "not_cached", head("Cache-Control: only-if-cached", target="/kept/canary")),
]  # fmt: skip


def check(answer: RawAnswer, status: int, reason: str) -> None:
    """Raises `AssertionError` for an error of another shape, or one that tells too much."""
    assert (answer.status, answer.json()["reason"]) == (status, reason)
    body = answer.json()
    Error.model_validate(body)
    assert body["timestamp"].endswith("Z")
    assert answer.one("X-Request-Id") == body["request_id"]
    assert answer.one("Content-Type") == "application/json; charset=utf-8"
    assert answer.one("Cache-Control") == "no-store"
    assert answer.one("X-Content-Type-Options") == "nosniff"
    assert answer.all("Server") == []
    for name, _ in gateway_error(Reason(reason)).headers:
        assert len(answer.all(name)) == 1, f"{name} is missing or doubled"
    told = str(answer)
    assert CANARY not in told
    assert "Traceback" not in told
    assert UNUSED.removeprefix("http://") not in told
    assert "127.0.0.1" not in answer.body.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def usual() -> AsyncIterator[Gateway]:
    async with gateway(**SETTINGS) as running:
        yield running


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    ROWS,
    ids=[f"{n}-{status}-{reason}" for n, (status, reason, _) in enumerate(ROWS)],
)
async def test_a_mistake_gets_an_answer_in_the_one_shape(
    usual: Gateway, status: int, reason: str, said: bytes
) -> None:
    async with wire(usual.port) as client:
        await client.say(said)
        check(await client.answer(), status, reason)


async def test_head_gets_the_same_head_and_no_body() -> None:
    async with gateway() as running:
        whole, bare = [await ask(running.port, method, "/nowhere") for method in ("GET", "HEAD")]
        check(whole, 404, "no_route")
        names = [sorted(name for name, _ in answer.headers) for answer in (whole, bare)]
        assert names[0] == names[1]
        assert (bare.status, bare.body) == (404, b"")
        assert bare.one("Content-Length") == whole.one("Content-Length")


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        head("Content-Length: 9", method="POST") + b"hel",
    ],
    ids=["in a head", "in a body"],
)
async def test_who_takes_too_long_is_told_so(start: bytes) -> None:
    listen = {"header_s": 0.2, "body_idle_s": 0.2}
    async with (
        recorder() as kept,
        gateway(kept.instance, listen=listen) as running,
        wire(running.port) as client,
    ):
        await client.say(start)
        check(await client.answer(), 408, "request_timeout")


async def test_a_body_that_turns_out_too_long_is_told_so() -> None:
    listen = {"max_body_bytes": 100}
    async with (
        recorder() as kept,
        gateway(kept.instance, listen=listen) as running,
        wire(running.port) as client,
    ):
        await client.say(head("Transfer-Encoding: chunked", method="POST"), b"c8\r\n" + b"x" * 200 + b"\r\n")
        check(await client.answer(), 413, "body_too_large")


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        (resets_after_request_read, 502, "upstream_reset"),
        (sends_garbage, 502, "upstream_garbage"),
        (never_answers, 504, "upstream_timeout"),
    ],
)
async def test_an_instance_that_fails_is_not_the_clients_to_understand(
    behaviour: Behaviour, status: int, reason: str
) -> None:
    timeouts = {"first_byte_s": 0.1, "total_s": 0.2}
    route = {"path": "/*", "service": "auth", "access": "public", "retry": "never", "timeouts": timeouts}
    async with origin(behaviour) as there, gateway(there.instance, routes=[route]) as running:
        answer = await ask(running.port, "GET", "/canary")
        check(answer, status, reason)


async def test_a_request_that_comes_round_again_is_told_so() -> None:
    (port,) = free_ports(1)
    services = {"auth": {"instances": [f"http://127.0.0.1:{port}"]}}
    async with gateway(services=services, listen={"port": port}) as running:
        check(await ask(running.port, "GET", "/open/canary"), 508, "loop_detected")


async def test_an_old_handler_is_told_that_another_has_its_name() -> None:
    pool = {"service": "auth", "secret": "a secret of the handlers' tests, long enough"}
    async with gateway(handlers=pool) as running:
        hello = {"handler_id": CANARY, "epoch": 2, "url": "http://localhost:1", "capacity": 1}
        assert (await post_json(running.port, "/handlers/register", hello)).status == 200
        late = {"handler_id": CANARY, "epoch": 1, "seq": 1, "connections": 0}
        check(await post_json(running.port, "/handlers/report", late), 409, "stale_epoch")


async def test_a_connection_too_many_is_told_so() -> None:
    async with gateway(listen={"max_connections": 2}) as running, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire(running.port)) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(client.answer()) for client in clients]
            refused, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
            for answer in waiting:
                answer.cancel()
        check(refused.pop().result(), 503, "overloaded")


@pytest.mark.parametrize("said", [head(), head("Content-Length: 1", method="POST") + b"x"])
async def test_a_request_too_many_is_told_so(said: bytes) -> None:
    async with (
        origin(never_answers) as there,
        gateway(there.instance, listen={"max_in_flight": 1}) as running,
        wire(running.port) as first,
        wire(running.port) as second,
    ):
        await first.say(request("GET", "/open/x"))
        await until(lambda: there.requests)
        await second.say(said)
        check(await second.answer(), 503, "overloaded")


async def test_a_bug_is_told_without_its_details() -> None:
    async def breaks(_exchange: Exchange) -> Reply:
        raise LookupError(CANARY)

    endpoints = [Endpoint("/bug", ("GET",), "public", breaks)]
    with capture_logs() as logged:
        async with dispatcher(settings_of(), endpoints) as (dispatch, _), serving(dispatch) as port:
            check(await ask(port, "GET", "/bug"), 500, "internal_error")
    assert [entry["event"] for entry in logged] == ["request_failed"]


async def test_every_status_that_there_is_stands_somewhere_on_this_page() -> None:
    elsewhere = {408, 409, 500, 508}
    assert {status for status, _, _ in ROWS} | elsewhere == {gateway_error(one).status for one in Reason}
