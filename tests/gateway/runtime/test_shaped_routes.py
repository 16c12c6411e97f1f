"""What routes change, answer and redirect: byte by byte on a real gateway's both sides."""

from typing import Any

import pytest

from tests.balancer.origins import Behaviour, Connection, answers, counts_requests, origin
from tests.gateway.runtime.gateways import KEY, ask, gateway, request, said, token, wire

OPEN = {"path": "/open/*", "service": "auth", "access": "public"}


def line(head: bytes) -> str:
    """Method and target, as the instance got them."""
    return head.split(b" HTTP/1.1\r\n")[0].decode()


def leads_to(location: str, status: int = 302) -> Behaviour:
    """`PORT` in the location is the instance's own."""

    async def redirects(connection: Connection) -> None:
        own = location.replace("PORT", str(connection.origin.instance.port))
        whole = f"HTTP/1.1 {status} Moved\r\nLocation: {own}\r\nContent-Length: 0\r\n\r\n".encode()
        await answers(whole)(connection)

    return redirects


# The request


async def test_headers_are_removed_and_set_on_the_request() -> None:
    route = {
        **OPEN,
        "set_headers": {"X-Env": "test"},
        "remove_headers": ["Cookie", "X-Debug", "Authorization"],
    }
    async with origin(counts_requests) as there, gateway(there.instance, routes=[route]) as running:
        sent = ["Cookie: a=1", "x-debug: 1", "X_Debug: 2", "x_env: theirs", "X-ENV: theirs", "X-Kept: 1"]
        await ask(running.port, "GET", "/open/x", *sent, "Authorization: Bearer abc", "Connection: X-Env")
        head = there.heads[0]
        for name in ("Cookie", "X-Debug", "X_Debug", "x_env", "Authorization"):
            assert said(head, name) == [], name
        assert (said(head, "X-Env"), said(head, "X-Kept")) == (["test"], ["1"])


async def test_parameters_are_set_and_removed_on_the_request() -> None:
    route = {**OPEN, "set_query": {"tenant": "a"}, "remove_query": ["debug"], "strip_prefix": "/open"}
    async with origin(counts_requests) as there, gateway(there.instance, routes=[route]) as running:
        for target in ("/open/x?%64ebug=1&a=%zz&tenant=b;tenant=c", "/open/y?" + "p" * 600, "/open/z"):
            assert (await ask(running.port, "GET", target)).status == 200
        assert [line(head) for head in there.heads] == [
            "GET /x?a=%zz&tenant=a",
            f"GET /y?{'p' * 600}&tenant=a",
            "GET /z?tenant=a",
        ]


async def test_a_token_in_the_query_is_read_before_anything_is_removed() -> None:
    """`uid` is compared with the token's user as it came, also where the route hides it from the instance."""
    route = {"path": "/mine", "service": "auth", "remove_query": ["uid"]}
    async with origin(counts_requests) as there, gateway(there.instance, routes=[route]) as running:
        bearer = f"Authorization: Bearer {token('ada')}"
        assert (await ask(running.port, "GET", "/mine?uid=eve", bearer)).status == 403
        assert (await ask(running.port, "GET", "/mine?uid=ada&a=1", bearer)).status == 200
        assert [line(head) for head in there.heads] == ["GET /mine?a=1"]


# The answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_headers_are_removed_and_set_on_the_answer(chunked: bool) -> None:
    framing = (
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        if chunked
        else b"Content-Length: 2\r\n\r\nok"
    )
    came = (
        b"HTTP/1.1 200 OK\r\nx-powered-by: PHP\r\nX-Frame-Options: ALLOW\r\nSet-Cookie: a=1\r\nX-A: 1\r\n"
        + framing
    )
    shaped = {"set_headers": {"X-Frame-Options": "DENY"}, "remove_headers": ["X-Powered-By", "set-cookie"]}
    route = {**OPEN, "answer": shaped}
    async with origin(answers(came)) as there, gateway(there.instance, routes=[route]) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert (answer.status, answer.body) == (200, b"ok")
        assert (answer.all("X-Powered-By"), answer.all("Set-Cookie")) == ([], [])
        assert (answer.one("X-Frame-Options"), answer.one("X-A")) == ("DENY", "1")


async def test_the_101_of_a_websocket_is_shaped_like_any_answer() -> None:
    switch = (
        b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Powered-By: PHP\r\nX-A: 1\r\n\r\n"
    )
    route = {**OPEN, "answer": {"remove_headers": ["X-Powered-By"], "set_headers": {"X-B": "2"}}}
    asked = request(
        "GET", "/open/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"
    )
    async with (
        origin(answers(switch)) as there,
        gateway(there.instance, routes=[route]) as running,
        wire(running.port) as client,
    ):
        await client.say(asked)
        answer = await client.answer()
        assert answer.status == 101
        assert (answer.all("X-Powered-By"), answer.one("X-A"), answer.one("X-B")) == ([], "1", "2")
        assert answer.one("Upgrade") == "websocket"


async def test_the_gateways_own_answers_are_not_shaped() -> None:
    route = {**OPEN, "answer": {"set_headers": {"X-Shaped": "1"}}}
    async with gateway(routes=[route]) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert (answer.status, answer.all("X-Shaped")) == (502, [])


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ("http://127.0.0.1:PORT/x?y#z", "/open/x?y#z"),
        ("//127.0.0.1:PORT//evil.example", "/open/evil.example"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("/x", "/x"),
        ("x", "x"),
    ],
)
async def test_no_client_is_led_to_an_instances_own_address(came: str, goes: str) -> None:
    """RELIABILITY 3, R4."""
    route = {**OPEN, "strip_prefix": "/open"}
    async with origin(leads_to(came)) as there, gateway(there.instance, routes=[route]) as running:
        answer = await ask(running.port, "GET", "/open/a")
        assert (answer.status, answer.one("Location")) == (302, goes)


async def test_a_location_that_leads_nobody_anywhere_passes() -> None:
    whole = b"HTTP/1.1 200 OK\r\nLocation: http://127.0.0.1:%d/x\r\nContent-Length: 0\r\n\r\n"

    async def locates(connection: Connection) -> None:
        await answers(whole % connection.origin.instance.port)(connection)

    async with origin(locates) as there, gateway(there.instance) as running:
        own = f"http://127.0.0.1:{there.instance.port}/x"
        assert (await ask(running.port, "GET", "/open/a")).one("Location") == own


async def test_what_was_created_is_found_from_outside_too() -> None:
    async with (
        origin(leads_to("http://127.0.0.1:PORT/open/7", 201)) as there,
        gateway(there.instance) as running,
    ):
        answer = await ask(running.port, "POST", "/open/", body=b"x")
        assert (answer.status, answer.one("Location")) == (201, "/open/7")


# Routes that answer themselves

STATIC: list[dict[str, Any]] = [
    {
        "path": "/robots.txt",
        "access": "public",
        "respond": {"body": "Disallow: /\n", "headers": {"X-A": "1"}},
    },
    {
        "path": "/gone",
        "methods": ["GET"],
        "access": "public",
        "respond": {"status": 410, "body": '{"gone": true}'},
    },
    {"path": "/nothing", "access": "public", "respond": {"status": 204}},
    {"path": "/mine", "respond": {"body": "yours"}},
    {"path": "/inside", "access": "internal", "redirect": {"to": "/elsewhere"}},
    {"path": "/few", "access": "public", "limit": 1, "respond": {"body": "x"}},
    {"path": "/old/{id}/*", "access": "public", "redirect": {"to": "/new/{id}/*"}},
    {
        "path": "/away/*",
        "access": "public",
        "redirect": {"to": "https://new.example/*", "status": 302, "keep_query": False},
    },
]


async def test_static_answers() -> None:
    async with gateway(routes=STATIC) as running:
        text = await ask(running.port, "GET", "/robots.txt?x")
        assert (text.status, text.body, text.one("X-A")) == (200, b"Disallow: /\n", "1")
        assert text.one("Content-Type") == "text/plain; charset=utf-8"
        assert text.all("X-Request-Id")
        head = await ask(running.port, "HEAD", "/robots.txt")
        assert (head.status, head.one("Content-Length"), head.body) == (200, "12", b"")
        gone = await ask(running.port, "GET", "/gone")
        assert (gone.status, gone.json(), gone.one("Content-Type")) == (
            410,
            {"gone": True},
            "application/json",
        )
        nothing = await ask(running.port, "GET", "/nothing")
        assert (nothing.status, nothing.all("Content-Length"), nothing.all("Content-Type")) == (204, [], [])
        assert (await ask(running.port, "POST", "/gone")).status == 405


async def test_a_body_that_nobody_reads_does_not_become_the_next_request() -> None:
    async with gateway(routes=STATIC) as running, wire(running.port) as client:
        hidden = request("GET", "/gone")
        await client.say(request("POST", "/robots.txt", body=hidden), request("GET", "/mine"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 401]


async def test_who_may_have_a_static_answer() -> None:
    internal = {"key": KEY, "networks": []}
    async with gateway(routes=STATIC, internal=internal) as running:
        port = running.port
        assert (await ask(port, "GET", "/mine")).status == 401
        assert (await ask(port, "GET", "/mine", f"token: {token()}")).body == b"yours"
        assert (await ask(port, "GET", "/inside")).status == 403
        assert (await ask(port, "GET", "/inside", f"X-Internal-Key: {KEY}")).status == 308
        assert [(await ask(port, "GET", "/few")).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        ("/old/7/a?b=%20", 308, "/new/7/a?b=%20"),
        ("/old/%37/%C3%A9/", 308, "/new/%37/%C3%A9/"),
        ("/old/7/%0d%0aSet-Cookie:x", 400, None),
        ("/old/7/@evil.example", 308, "/new/7/@evil.example"),
        ("/old/7//evil.example", 400, None),
        ("/old/7/%5cevil.example", 400, None),
        ("/away/a/b?c", 302, "https://new.example/a/b"),
        ("/away/", 302, "https://new.example/"),
        ("http://localhost/away/a", 302, "https://new.example/a"),
    ],
)
async def test_redirects(target: str, status: int, location: str | None) -> None:
    async with gateway(routes=STATIC) as running:
        answer = await ask(running.port, "GET", target, "X-Forwarded-Host: evil.example")
        assert (answer.status, answer.all("Location")) == (status, [location] if location else [])


async def test_the_host_of_a_request_says_nothing_about_where_it_is_led() -> None:
    async with gateway(routes=STATIC) as running, wire(running.port) as client:
        await client.say(request("GET", "/old/7/a", host="evil.example"))
        assert (await client.answer()).one("Location") == "/new/7/a"
