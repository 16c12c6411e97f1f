"""A request through the gateway to an instance, and the answer back: byte by byte on both sides."""

import asyncio
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any

import pytest

from balancer.model import CallPolicy, OutboundRequest, RetryClass
from balancer.policy import HashPolicy
from balancer.runtime.call import Balancer, End
from balancer.runtime.upstream import PooledUpstream
from gateway.errors import GatewayError
from gateway.identity import User
from gateway.runtime import client_request
from gateway.runtime.forward import Forwarder
from gateway.runtime.prepared import Prepared
from registry.model import Instance, ServiceName, Status, snapshot
from tests.balancer import origins
from tests.balancer.origins import OK, Connection, answers, counts_requests, instance_at, origin, until
from tests.gateway.runtime.gateways import (
    RawAnswer,
    ask,
    eventually,
    exchange_for,
    gateway,
    in_flight,
    request,
    said,
    token,
    unsent_request,
    until_idle,
    wire,
)
from tests.servers import free_ports

MIB = 1 << 20
QUICK = {"connect_s": 0.2, "first_byte_s": 0.2, "idle_s": 0.2, "total_s": 2}


async def echoes_the_body(connection: Connection) -> None:
    while True:
        await connection.request()
        body = connection.origin.bodies[-1]
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def streams_for_ever(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await connection.say(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


# The request, as an instance sees it


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_is_carried(method: str) -> None:
    nothing = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with origin(nothing) as there, gateway(there.instance) as running:
        answer = await ask(running.port, method, "/open/x")
        assert answer.status == 200
        assert there.heads[0].startswith(f"{method} /open/x HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    "target",
    [
        "/open/x?",
        "/open/x??a=b",
        "/open/x?a=%zz&&b=+&c=%20&d",
        "/open/x?q=\"<>[]{}|^`'",
        "/open/x?next=http://elsewhere/../a",
        "/open/caf%C3%A9/%7Euser/a;b=c,d",
        "/open/%2B+%20",
        "/open/",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(target: str) -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        assert (await ask(running.port, "GET", target)).status == 200
        assert there.heads[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


async def test_an_absolute_target_goes_upstream_as_its_path() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        await ask(running.port, "GET", "http://localhost/open/x?y")
        assert there.heads[0].startswith(b"GET /open/x?y HTTP/1.1\r\n")


async def test_the_verified_user_arrives_and_nobody_else() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        spoofed = ("X-User-Id: root", "x-user-id: root", "X_User_Id: root", "Connection: X-User-Id, close")
        await ask(running.port, "GET", "/mine/x", f"token: {token('ada')}", *spoofed)
        await ask(running.port, "GET", "/open/x", *spoofed)
        mine, public = there.heads
        assert said(mine, "X-User-Id") == ["ada"]
        assert said(public, "X-User-Id") == []
        assert b"root" not in mine + public


async def test_the_request_id_is_the_clients_if_it_is_one() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x", "X-Request-Id: my-own.id_1")
        assert answer.one("X-Request-Id") == "my-own.id_1"
        assert said(there.heads[0], "X-Request-Id") == ["my-own.id_1"]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>", "é"])
async def test_a_request_id_that_is_none_is_replaced(bad: str) -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x", f"X-Request-Id: {bad}")
        assert len(answer.one("X-Request-Id")) == 32
        assert said(there.heads[0], "X-Request-Id") == [answer.one("X-Request-Id")]


async def test_what_is_remembered_of_a_clients_headers_never_outlives_them() -> None:
    """One connection, several users: as a proxy with connections of its own would send them."""
    ada, bob, own_id = f"token: {token('ada')}", f"token: {token('bob')}", "X-Request-Id: my-own"
    async with (
        origin(counts_requests) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        ids: list[str] = []
        for user, path, headers in [
            (["ada"], "/mine/x", (ada,)),
            (["ada"], "/mine/x", (ada,)),
            (["bob"], "/mine/x", (bob,)),
            ([], "/open/x", (bob,)),
            (["bob"], "/mine/x", (bob,)),
            (["bob"], "/mine/x", (bob, "Cookie: b=1")),
            (["ada"], "/mine/x", (ada, own_id)),
            (["ada"], "/mine/x", (ada,)),
        ]:
            await client.say(request("GET", path, *headers))
            assert (await client.answer()).status == 200
            head = there.heads[-1]
            assert said(head, "X-User-Id") == user
            assert said(head, "Cookie") == (["b=1"] if "Cookie: b=1" in headers else [])
            ids += said(head, "X-Request-Id")
            assert (ids[-1] == "my-own") is (own_id in headers)
        assert len(set(ids)) == len(ids) == len(there.heads)
        for status, headers in [(403, (ada, "uid: bob")), (401, ())]:
            await client.say(request("GET", "/mine/x", *headers))
            assert (await client.answer()).status == status
        assert len(ids) == len(there.heads)


async def test_where_the_request_came_from_is_the_socket_not_a_header() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        spoofed = ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.7")
        await ask(running.port, "GET", "/open/x", *spoofed)
        head = there.heads[0]
        assert said(head, "X-Forwarded-For") == ["127.0.0.1"]
        assert said(head, "X-Forwarded-Proto") == ["http"]
        assert said(head, "X-Forwarded-Host") == ["localhost"]
        assert said(head, "Forwarded") == []


async def test_a_trusted_proxys_word_is_passed_on() -> None:
    trusting = {"trusted_proxies": ["127.0.0.0/8"]}
    async with origin(counts_requests) as there, gateway(there.instance, listen=trusting) as running:
        await ask(running.port, "GET", "/open/x", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https")
        assert said(there.heads[0], "X-Forwarded-For") == ["203.0.113.7, 127.0.0.1"]
        assert said(there.heads[0], "X-Forwarded-Proto") == ["https"]
        await ask(running.port, "GET", "/open/x", 'Forwarded: for="[2001:db8::7]:4711";proto=https')
        assert said(there.heads[1], "X-Forwarded-For") == ["2001:db8::7, 127.0.0.1"]
        assert said(there.heads[1], "X-Forwarded-Proto") == ["https"]


async def test_what_speaks_of_one_connection_or_to_the_gateway_ends_here() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        await ask(
            running.port, "GET", "/open/x",
            "Connection: keep-alive, X-Hop", "X-Hop: 1", "TE: trailers", "Upgrade: websocket",
            "Proxy-Authorization: Basic x", "X-Internal-Key: a key of somebody", "X-Kept: 1",
        )  # fmt: skip
        head = there.heads[0]
        for name in ("X-Hop", "TE", "Upgrade", "Proxy-Authorization", "X-Internal-Key"):
            assert said(head, name) == []
        assert said(head, "X-Kept") == ["1"]


async def test_a_route_may_rewrite_and_set() -> None:
    routes: list[dict[str, Any]] = [
        {"path": "/api/*", "service": "auth", "access": "public", "strip_prefix": "/api", "pass_host": False},
        {"path": "/u/{id}", "service": "auth", "access": "public", "rewrite": "/users/{id}/page"},
        {"path": "/keyed", "service": "auth", "access": "public", "set_headers": {"X-Key": "ours"}},
    ]
    async with origin(counts_requests) as there, gateway(there.instance, routes=routes) as running:
        for target in ("/api/a/b?c", "/u/%41da?x", "/keyed"):
            await ask(running.port, "GET", target, "X-Key: theirs")
        stripped, rewritten, keyed = there.heads
        assert stripped.startswith(b"GET /a/b?c HTTP/1.1\r\n")
        assert said(stripped, "Host") == [f"127.0.0.1:{there.instance.port}"]
        assert rewritten.startswith(b"GET /users/%41da/page?x HTTP/1.1\r\n")
        assert said(rewritten, "Host") == ["localhost"]
        assert said(keyed, "X-Key") == ["ours"]


# Bodies


@pytest.mark.parametrize("body", [b"", b"x", b"\r\n\r\n\x00\xff", b"y" * 65_536, b"z" * 65_537])
async def test_a_body_arrives_whole_and_comes_back_whole(body: bytes) -> None:
    async with origin(echoes_the_body) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "POST", "/open/x", body=body)
        assert (answer.status, answer.body) == (200, body)
        assert there.bodies == [body]


async def test_a_mebibyte_goes_both_ways_whole() -> None:
    body = bytes(range(256)) * (MIB // 256)
    async with origin(echoes_the_body) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "PUT", "/open/x", body=body)
        assert answer.body == body
        assert said(there.heads[0], "Content-Length") == [str(MIB)]


async def test_a_chunked_mebibyte_goes_both_ways_whole() -> None:
    piece = bytes(range(256)) * 64
    async with origin(echoes_the_body) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("POST", "/open/x", "Transfer-Encoding: chunked"))
            for _ in range(MIB // len(piece)):
                await client.say(b"%x;extension=1\r\n" % len(piece), piece, b"\r\n")
            await client.say(b"0\r\nX-Trailer: 1\r\n\r\n")
            answer = await client.answer()
        assert answer.body == piece * (MIB // len(piece))
        assert said(there.heads[0], "Transfer-Encoding") == ["chunked"]
        assert said(there.heads[0], "Content-Length") == []


async def test_a_streamed_body_reaches_the_instance_before_it_has_ended() -> None:
    async with (
        origin(origins.never_reads) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        await client.say(request("POST", "/open/x", "Transfer-Encoding: chunked"), b"1\r\nx\r\n")
        await until(lambda: there.connections)


@pytest.mark.parametrize("framing", [f"Content-Length: {2 * MIB}", "Transfer-Encoding: chunked"])
async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(framing: str) -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("POST", "/open/x", framing), b"100\r\n" + b"x" * 0x100 + b"\r\n")
            await until(lambda: there.connections)
        await until(lambda: there.open_connections == 0)
        assert there.bodies == []
        await until_idle(running.port)


# Expect


async def test_a_client_that_waits_with_its_body_is_told_to_go_on() -> None:
    async with (
        origin(echoes_the_body) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        await client.say(request("POST", "/open/x", "Expect: 100-continue", "Content-Length: 5"))
        assert (await client.answer()).status == 100
        await client.say("hello")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"hello")
        assert said(there.heads[0], "Expect") == []


@pytest.mark.parametrize(
    ("method", "target", "length", "status"),
    [
        ("POST", "/mine/x", 5, 401),
        ("POST", "/nowhere", 5, 404),
        ("POST", "/only-get", 5, 405),
        ("POST", "/open/x", 10_001, 413),
    ],
)
async def test_a_client_whose_request_is_refused_is_never_told_to_go_on(
    method: str, target: str, length: int, status: int
) -> None:
    routes = [
        {"path": "/open/*", "service": "auth", "access": "public", "max_body_bytes": 10_000},
        {"path": "/mine/*", "service": "auth", "access": "user"},
        {"path": "/only-get", "service": "auth", "access": "public", "methods": ["GET"]},
    ]
    async with (
        origin(counts_requests) as there,
        gateway(there.instance, routes=routes) as running,
        wire(running.port) as client,
    ):
        await client.say(request(method, target, "Expect: 100-continue", f"Content-Length: {length}"))
        assert (await client.answer()).status == status
        assert there.connections == 0


async def test_an_expectation_we_do_not_know_is_a_417() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "POST", "/open/x", "Expect: 200-ok", body=b"x")
        assert (answer.status, answer.json()["reason"]) == (417, "bad_expectation")
        assert there.connections == 0


async def test_a_client_of_http_1_0_is_not_told_to_go_on() -> None:
    """It would take the 100 for its answer (RFC 9110, 10.1.1)."""
    async with (
        origin(echoes_the_body) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        head = "POST /open/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        await client.say(head, "hello")
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"hello")


# The answer, as the client sees it


async def test_head_is_answered_with_the_length_and_no_body() -> None:
    async with (
        origin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: x\r\n\r\n")) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        for _ in range(2):
            await client.say(request("HEAD", "/open/x"))
            answer = await client.answer(to_head=True)
            assert (answer.status, answer.one("Content-Length"), answer.one("ETag")) == (200, "2", "x")
        assert there.connections == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nX-Kept: 1\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nX-Kept: 1\r\nContent-Length: 5\r\n\r\n",
    ],
)
async def test_answers_without_a_body_have_none_and_the_connection_goes_on(data: bytes) -> None:
    async with (
        origin(answers(data)) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        for _ in range(2):
            await client.say(request("GET", "/open/x"))
            answer = await client.answer()
            assert answer.status == int(data[9:12])
            assert answer.one("X-Kept") == "1"
            assert answer.all("Transfer-Encoding") == answer.all("Content-Type") == []


async def test_headers_that_repeat_are_kept_in_order() -> None:
    cookies = (
        b"Set-Cookie: a=1; Path=/\r\nX-Other: 1\r\nSet-Cookie: b=2; Expires=Mon, 21 Nov 2026 00:00:00 GMT\r\n"
    )
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + cookies + b"\r\nok"
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert answer.all("Set-Cookie") == ["a=1; Path=/", "b=2; Expires=Mon, 21 Nov 2026 00:00:00 GMT"]


async def test_what_the_gateway_says_itself_is_said_once() -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: theirs\r\nVary: Accept\r\n"
        b"Access-Control-Allow-Origin: *\r\n\r\nok"
    )
    cors = {"origins": ["https://chat.example"]}
    async with origin(answers(data)) as there, gateway(there.instance, cors=cors) as running:
        answer = await ask(
            running.port, "GET", "/open/x", "X-Request-Id: ours", "Origin: https://chat.example"
        )
        assert answer.one("X-Request-Id") == "ours"
        assert answer.one("Access-Control-Allow-Origin") == "https://chat.example"
        assert answer.all("Vary") == ["Accept", "Origin"]


async def test_a_cookie_of_one_client_is_never_sent_for_another() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: session=ada\r\n\r\nok"
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        for _ in range(2):
            await ask(running.port, "GET", "/open/x")
        assert said(there.heads[1], "Cookie") == []


async def test_what_an_instance_is_made_of_is_nobodys_business() -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"
    )
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x")
        for name in ("Server", "X-Hop", "Keep-Alive", "Content-Type"):
            assert answer.all(name) == []


async def test_no_answer_of_the_gateways_own_says_what_it_is_made_of() -> None:
    async with gateway() as running:
        for method, target in (("GET", "/ping"), ("GET", "/no"), ("POST", "/ping"), ("GET", "/a/../b")):
            assert (await ask(running.port, method, target)).all("Server") == []
        async with wire(running.port) as client:
            await client.say("nonsense\r\n\r\n")
            assert b"server:" not in (await client.rest()).lower()


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Here", "418 Teapot", "500 Oops", "502 Mine", "503 Busy"]
)
async def test_an_instances_own_errors_pass_through_unchanged(status: str) -> None:
    body = b'{"detail": "as the service says it"}'
    data = f"HTTP/1.1 {status}\r\nContent-Type: text/x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert answer.status == int(status[:3])
        assert (answer.one("Content-Type"), answer.body) == ("text/x", body)
        assert there.requests == 1


async def test_a_header_that_is_not_ascii_passes_unchanged() -> None:
    data = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: Zoë\r\n\r\nok".encode()
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        assert (await ask(running.port, "GET", "/open/x")).one("X-Name") == "Zoë"


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_an_encoded_body_is_not_touched(encoding: str) -> None:
    data = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 9\r\n\r\nnot at it".encode()
    async with origin(answers(data)) as there, gateway(there.instance) as running:
        answer = await ask(running.port, "GET", "/open/x", "Accept-Encoding: gzip, br")
        assert (answer.one("Content-Encoding"), answer.body) == (encoding, b"not at it")
        assert said(there.heads[0], "Accept-Encoding") == ["gzip, br"]


# Faults upstream


async def failure(behaviour: origins.Behaviour, method: str = "GET", **service: Any) -> RawAnswer:
    async with origin(behaviour) as there:
        url = f"http://127.0.0.1:{there.instance.port}"
        services = {"auth": {"instances": [url], "max_attempts": 1, **service}}
        async with gateway(services=services) as running:
            answer = await ask(running.port, method, "/open/x")
            assert str(there.instance.port).encode() not in answer.body
            return answer


async def test_an_instance_that_takes_no_connections_is_a_502() -> None:
    async with origins.refuses() as nobody, gateway(nobody) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert (answer.status, answer.json()["reason"]) == (502, "upstream_refused")


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        (origins.closes_after_request_read, 502, "upstream_reset"),
        (origins.resets_after_request_read, 502, "upstream_reset"),
        (origins.sends_garbage, 502, "upstream_garbage"),
        (origins.answers_101_unasked, 502, "upstream_garbage"),
        (
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
            502,
            "upstream_garbage",
        ),
        (answers(b"HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n"), 502, "upstream_garbage"),
        (origins.never_answers, 504, "upstream_timeout"),
        (origins.drips_the_head, 504, "upstream_timeout"),
    ],
)
async def test_every_fault_of_an_instance_has_its_status_and_reason(
    behaviour: origins.Behaviour, status: int, reason: str
) -> None:
    answer = await failure(behaviour, "POST", timeouts=QUICK)
    assert (answer.status, answer.json()["reason"]) == (status, reason)


async def test_an_instance_whose_backlog_is_full_is_a_504() -> None:
    async with origins.never_accepts() as busy:
        services = {
            "auth": {
                "instances": [f"http://127.0.0.1:{busy.port}"],
                "timeouts": QUICK,
            }
        }
        async with gateway(services=services) as running:
            answer = await ask(running.port, "GET", "/open/x")
            assert (answer.status, answer.json()["reason"]) == (504, "upstream_timeout")


async def test_a_route_to_a_service_without_instances_is_a_503_and_not_a_404() -> None:
    registry = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}
    async with gateway(registry=registry, services={"auth": {}}) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert (answer.status, answer.json()["reason"]) == (503, "no_instances")
        assert int(answer.one("Retry-After")) >= 1


async def test_a_get_is_tried_again_elsewhere_and_a_post_that_was_sent_is_not() -> None:
    async with (
        origin(origins.resets_after_request_read, "a") as bad,
        origin(counts_requests, "b") as good,
        gateway(bad.instance, good.instance) as running,
    ):
        answered = [(await ask(running.port, "GET", "/open/x")).status for _ in range(12)]
        assert answered == [200] * 12
        executed = bad.requests + good.requests
        posted = [(await ask(running.port, "POST", "/open/x", body=b"x")).status for _ in range(4)]
        assert set(posted) <= {200, 502}
        assert bad.requests + good.requests == executed + 4


async def test_a_post_that_never_reached_anybody_is_tried_elsewhere() -> None:
    async with (
        origins.refuses("a") as dead,
        origin(counts_requests, "b") as good,
        gateway(dead, good.instance) as running,
    ):
        answered = [(await ask(running.port, "POST", "/open/x", body=b"x")).status for _ in range(4)]
        assert answered == [200] * 4
        assert good.bodies == [b"x"] * 4


@pytest.mark.parametrize("behaviour", [origins.ends_mid_body, origins.ends_mid_chunk, origins.stops_mid_body])
async def test_an_answer_that_is_cut_short_is_cut_short_for_the_client(behaviour: origins.Behaviour) -> None:
    async with origin(behaviour) as there:
        services = {"auth": {"instances": [f"http://127.0.0.1:{there.instance.port}"], "timeouts": QUICK}}
        async with gateway(services=services) as running:
            async with wire(running.port) as client:
                await client.say(request("GET", "/open/x"))
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await client.answer()
            assert there.requests == 1
            await until_idle(running.port)


async def test_an_answer_of_unknown_length_that_is_cut_short_is_a_reset_for_http_1_0() -> None:
    """There, the end of the connection is the end of the body: only a reset is none."""
    async with (
        origin(origins.ends_mid_chunk) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        await client.say("GET /open/x HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.answer()


# Clients that leave, and clients that stay too long


async def test_a_client_that_hangs_up_cancels_its_call() -> None:
    async with origin(origins.never_answers) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x"))
            await until(lambda: there.requests)
            assert await in_flight(running.port) == 1
        await until(lambda: there.open_connections == 0)
        await until_idle(running.port)


async def test_a_client_that_hangs_up_in_the_middle_of_an_answer_cancels_its_call() -> None:
    async with origin(streams_for_ever) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x"))
            await client.reader.readexactly(100_000)
        await until(lambda: there.open_connections == 0)
        await until_idle(running.port)


async def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred of them would hold a hundred calls for as long as they like."""
    monkeypatch.setattr(client_request, "CLIENT_STALLED_S", 0.2)
    async with origin(streams_for_ever) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x"))
            await client.reader.readexactly(1000)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions

            async def call_has_ended() -> bool:
                return await in_flight(running.port) == 0

            await eventually(call_has_ended)
        await until(lambda: there.open_connections == 0)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with (
        origin(echoes_the_body) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        bodies = [b"first", b"second", b"third"]
        await client.say(*(request("POST", "/open/x", body=body) for body in bodies))
        assert [(await client.answer()).body for _ in bodies] == bodies


async def test_two_calls_after_each_other_share_a_connection_upstream() -> None:
    async with origin(answers(OK)) as there, gateway(there.instance) as running:
        for _ in range(3):
            await ask(running.port, "GET", "/open/x")
        assert there.connections == 1


# What a caller says of itself


class CallsSeen(Balancer):
    """Keeps what it is asked to carry out, and carries out nothing."""

    def __init__(self) -> None:
        super().__init__(
            lambda name: snapshot(name, Status.UNKNOWN), PooledUpstream(), policies={}, rng=Random(1)
        )
        self.seen: list[OutboundRequest] = []

    def call(
        self, policy: CallPolicy, request: OutboundRequest, only: Instance | None = None
    ) -> "AbstractAsyncContextManager[End]":
        self.seen.append(request)
        return super().call(policy, request, only)


async def carried(prepared: Prepared, user: User | None = None, **headers: str) -> OutboundRequest:
    """What goes to the balancer of a request with these headers that has just come."""
    balancer = CallsSeen()
    exchange = exchange_for(
        unsent_request("GET", "/open/x", **headers), started_at=balancer.clock(), user=user
    )
    assert isinstance(await Forwarder(balancer).carry(exchange, prepared, "/open/x"), GatewayError)
    return balancer.seen[0]


def prepared_by(hashing: HashPolicy | None) -> Prepared:
    return Prepared(CallPolicy(ServiceName("auth"), RetryClass.SAFE), 0, hashing=hashing)


async def test_what_a_caller_has_left_is_told_to_the_balancer() -> None:
    plain = prepared_by(None)
    assert (await carried(plain)).deadline_s is None
    left_s = (await carried(plain, X_Request_Timeout_Ms="60000")).deadline_s
    assert left_s is not None
    assert 0 < left_s <= 60
    assert (await carried(plain, X_Request_Timeout_Ms="0")).deadline_s == 0


@pytest.mark.parametrize("headers", [["X-Request-Timeout-Ms: soon"], ["X-Request-Timeout-Ms: 5"] * 2])
async def test_a_deadline_that_nobody_can_read_is_told_to_who_set_it(headers: list[str]) -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        refused = await ask(running.port, "GET", "/open/x", *headers)
        assert (refused.status, refused.json()["reason"]) == (400, "bad_parameter")
        assert "X-Request-Timeout-Ms" in refused.json()["message"]
        assert not there.heads


async def test_callers_have_a_key_where_the_strategy_goes_by_it() -> None:
    assert (await carried(prepared_by(None), X_Room="blue")).key == b""
    assert (await carried(prepared_by(HashPolicy("header", "X-Room")), X_Room="blue")).key == b"blue"
    assert (await carried(prepared_by(HashPolicy("cookie", "room")), Cookie="room=red")).key == b"red"
    assert (await carried(prepared_by(HashPolicy("address")))).key == b"127.0.0.1"
    by_user = prepared_by(HashPolicy("uid"))
    assert (await carried(by_user, uid="ada")).key == b"", "a uid is a claim until a token has shown it"
    assert (await carried(by_user, User("ada", None, 0.0))).key == b"ada"


async def test_callers_that_are_recognised_come_to_the_same_instance_again() -> None:
    async with (
        origin(counts_requests) as one,
        origin(counts_requests) as two,
        origin(counts_requests) as three,
    ):
        there = (one, two, three)
        services = {
            "auth": {
                "instances": [f"http://127.0.0.1:{each.instance.port}" for each in there],
                "strategy": "rendezvous",
                "hash": {"by": "cookie", "name": "room"},
            }
        }
        async with gateway(services=services) as running:
            for room in map(str, range(40)):
                before = [each.requests for each in there]
                for _ in range(3):
                    await ask(running.port, "GET", "/open/x", f"Cookie: a=b; room={room}")
                grown = sorted(each.requests - n for each, n in zip(there, before, strict=True))
                assert grown == [0, 0, 3]
            assert min(each.requests for each in there) > 0


# Odd company


@pytest.mark.timeout(20)
async def test_a_gateway_that_is_its_own_instance_says_so_instead_of_calling_itself_for_ever() -> None:
    (port,) = free_ports(1)
    async with gateway(instance_at(port, "myself"), listen={"port": port}):
        answer = await ask(port, "GET", "/open/x")
        assert (answer.status, answer.json()["reason"]) == (508, "loop_detected")
        metrics = (await ask(port, "GET", "/metrics")).body.decode()
        assert 'quaymaster_errors_total{reason="loop_detected"} 1.0' in metrics


async def test_two_gateways_that_call_each_other_notice_it_too() -> None:
    one, other = free_ports(2)
    async with (
        gateway(instance_at(other, "other"), listen={"port": one}),
        gateway(instance_at(one, "one"), listen={"port": other}),
    ):
        assert (await ask(one, "GET", "/open/x")).json()["reason"] == "loop_detected"


async def test_a_gateway_behind_another_is_no_loop() -> None:
    async with (
        origin(counts_requests) as there,
        gateway(there.instance) as inner,
        gateway(instance_at(inner.port, "inner")) as outer,
    ):
        assert (await ask(outer.port, "GET", "/open/x")).status == 200


async def test_an_instance_may_answer_before_it_has_read_the_body() -> None:
    async def refuses_at_once(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.say(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await connection.reader.read()

    async with origin(refuses_at_once) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("PUT", "/open/x", f"Content-Length: {4 * MIB}"), b"x" * 100_000)
            answer = await client.answer()
            assert (answer.status, answer.body) == (403, b"no")
        await until_idle(running.port)


async def test_a_request_that_asks_for_an_upgrade_is_carried_as_one_that_does_not() -> None:
    """Nothing of its body may become a request of its own (CVE-2026-69243)."""
    smuggled = request("GET", "/open/smuggled")
    async with (
        origin(echoes_the_body) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        upgrade = ("Connection: Upgrade", "Upgrade: websocket")
        await client.say(request("POST", "/open/x", *upgrade, body=smuggled), request("GET", "/open/y"))
        assert (await client.answer()).body == smuggled
        assert (await client.answer()).body == b""
        lines = [head.split(b"\r\n")[0] for head in there.heads]
        assert lines == [b"POST /open/x HTTP/1.1", b"GET /open/y HTTP/1.1"]
