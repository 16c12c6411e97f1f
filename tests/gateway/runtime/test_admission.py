"""Who may, and how often, as a client sees it."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.windows import Rule, Verdict
from tests.balancer.origins import counts_requests, origin
from tests.gateway.runtime.dispatchers import dispatcher
from tests.gateway.runtime.gateways import (
    KEY,
    RawAnswer,
    ask,
    gateway,
    request,
    said,
    serving,
    settings_of,
    token,
    wire,
)
from tests.gateway.runtime.scrapes import scrape
from tests.servers import hasty, own_redis

# Who may


async def test_who_may_not_learns_nothing_more_and_costs_nothing_upstream() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        for headers in ([], ["token: x"], [f"token: {token('ada')}", "uid: bob"]):
            assert (await ask(running.port, "POST", "/mine/x", *headers, body=b"x")).status in (401, 403)
        assert there.connections == 0
        answer = await ask(running.port, "POST", "/mine/x", f"token: {token('ada')}", "uid: ada", body=b"x")
        assert answer.status == 200


async def test_a_401_says_how_to_come_in() -> None:
    async with gateway() as running:
        missing = await ask(running.port, "GET", "/mine/x")
        assert missing.one("WWW-Authenticate") == "Bearer"
        bad = await ask(running.port, "GET", "/mine/x", "Authorization: Bearer x.y.z")
        assert bad.one("WWW-Authenticate") == 'Bearer error="invalid_token"'
        other = await ask(running.port, "GET", "/mine/x", "Authorization: Basic YTpi")
        assert other.json()["reason"] == "missing_token"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"roles": ["admin"], "scope": "read write"}, None),
        ({"roles": ["user"], "scope": "read write"}, "missing_role"),
        ({"roles": "admin", "scope": "read"}, "missing_scope"),
        ({}, "missing_role"),
    ],
)
async def test_a_route_can_ask_for_roles_and_scopes(claims: dict[str, Any], reason: str | None) -> None:
    require = {"roles": ["admin", "owner"], "scopes": ["read", "write"]}
    routes = [{"path": "/mine/*", "service": "auth", "access": "user", "require": require}]
    async with (
        origin(counts_requests) as there,
        gateway(there.instance, routes=routes) as running,
    ):
        answer = await ask(running.port, "GET", "/mine/x", f"token: {token(**claims)}")
        assert answer.status == (403 if reason else 200)
        assert there.requests == (0 if reason else 1)
        if reason:
            assert answer.json()["reason"] == reason
        assert (await ask(running.port, "GET", "/mine/x")).json()["reason"] == "missing_token"


async def test_an_internal_route_is_for_the_inside() -> None:
    internal = {"networks": ["10.0.0.0/8"], "key": KEY}
    async with (
        origin(counts_requests) as there,
        gateway(there.instance, internal=internal) as running,
    ):
        assert (await ask(running.port, "GET", "/inside/x")).status == 403
        assert (await ask(running.port, "GET", "/inside/x", f"X-Internal-Key: {KEY}")).status == 200
        assert said(there.heads[0], "X-Internal-Key") == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: https://evil.example"], 403),
        (["Origin: null"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Sec-Fetch-Site: same-site"], 403),
        (["Sec-Fetch-Site: same-origin", "Origin: http://localhost"], 200),
        (["Sec-Fetch-Site: none"], 200),
        (["Origin: https://evil.example", f"X-Internal-Key: {KEY}"], 200),
    ],
)
async def test_a_page_of_another_site_in_a_browser_on_this_machine_is_not_internal(
    headers: list[str], status: int
) -> None:
    async with gateway(internal={"key": KEY}) as running:
        assert (await ask(running.port, "GET", "/health/detailed", *headers)).status == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("localhost:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
async def test_a_name_that_was_pointed_at_this_machine_is_no_way_in(host: str, status: int) -> None:
    async with gateway() as running, wire(running.port) as client:
        same_origin = (f"Origin: http://{host}", "Sec-Fetch-Site: same-origin")
        await client.say(request("GET", "/health/detailed", *same_origin, host=host))
        assert (await client.answer()).status == status


async def test_who_was_let_in_under_one_name_is_judged_anew_under_another() -> None:
    """The headers stay the same, and without a `Host` the request line alone says who is asked."""
    async with gateway() as running, wire(running.port) as client:
        for host, status in (("localhost", 200), ("evil.example", 403), ("localhost", 200)):
            await client.say(f"GET http://{host}/health/detailed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).status == status


@pytest.mark.parametrize("key", ["", f"X-Internal-Key: {KEY}x"])
async def test_a_key_counts_only_for_the_request_that_brings_it(key: str) -> None:
    internal = {"networks": ["10.0.0.0/8"], "key": KEY}
    async with gateway(internal=internal) as running, wire(running.port) as client:
        for line, status in ((f"X-Internal-Key: {KEY}", 200), (key, 403)):
            await client.say(request("GET", "/health/detailed", *filter(None, [line])))
            assert (await client.answer()).status == status


@pytest.mark.parametrize(
    "sign", ["Via: 1.1 somebody", "Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7"]
)
async def test_what_a_proxy_passes_on_is_not_internal(sign: str) -> None:
    async with gateway() as running:
        assert (await ask(running.port, "GET", "/health/detailed", sign)).status == 403


# Not too often


async def test_limits_are_counted_per_caller_and_told_on_every_answer() -> None:
    limits = {"per_address": 2, "per_user": 1, "window_s": 60}
    async with origin(counts_requests) as there, gateway(there.instance, limits=limits) as running:
        left = []
        for _ in range(2):
            answer = await ask(running.port, "GET", "/open/x")
            assert (answer.status, answer.one("X-RateLimit-Limit")) == (200, "2")
            left.append(answer.one("X-RateLimit-Remaining"))
        assert left == ["1", "0"]
        refused = await ask(running.port, "GET", "/open/x")
        assert (refused.status, refused.json()["reason"]) == (429, "rate_limited")
        # A window, and the thousandth of it by which times are rounded up.
        assert 1 <= int(refused.one("Retry-After")) <= 61
        assert 1 <= int(refused.one("X-RateLimit-Reset")) <= 61
        assert there.requests == 2

        by_user = [
            (await ask(running.port, "GET", "/mine/x", f"token: {token(uid)}")).status
            for uid in ("ada", "bob", "ada")
        ]
        assert by_user == [200, 200, 429]


async def test_a_thousand_made_up_addresses_share_one_count() -> None:
    async with gateway(limits={"per_address": 3}) as running:
        answered = [
            (await ask(running.port, "GET", "/open/x", f"X-Forwarded-For: 203.0.113.{n}")).status
            for n in range(6)
        ]
        assert answered[:2] == [502, 502]
        assert answered[2] in (502, 503), "nobody takes connections: that may be said at once"
        assert answered[3:] == [429, 429, 429]


@pytest.mark.parametrize("trusted", [True, False])
async def test_neither_do_made_up_values_of_forwarded_get_around_a_limit(*, trusted: bool) -> None:
    """Behind a trusted proxy what it appends counts, and what stands before is the client's own."""
    proxies = ["127.0.0.0/8"] if trusted else []
    async with (
        gateway(listen={"trusted_proxies": proxies}, limits={"per_address": 3}) as running,
        wire(running.port) as client,
    ):
        answered = []
        for n in range(6):
            await client.say(request("GET", "/ping", f"Forwarded: for=203.0.113.{n}, for=192.0.2.7"))
            answered.append((await client.answer()).status)
            await client.say(request("GET", "/open/x", f"Forwarded: for=203.0.113.{n}, for=192.0.2.7"))
            answered.append((await client.answer()).status)
        assert answered[7::2] == [429, 429, 429]
        if trusted:
            await client.say(request("GET", "/open/x", "Forwarded: for=192.0.2.8"))
            assert (await client.answer()).status != 429


async def test_without_redis_each_gateway_goes_on_with_its_share_and_says_so() -> None:
    """RELIABILITY L3: never a 500."""
    with own_redis() as server:
        sections = {"store": {"backend": "redis", "url": hasty(server.url)}, "limits": {"per_address": 3}}
        async with (
            origin(counts_requests) as there,
            gateway(there.instance, **sections) as running,
            wire(running.port) as client,
        ):

            async def answer() -> RawAnswer:
                await client.say(request("GET", "/open/x"))
                return await client.answer()

            before = await answer()
            assert (before.status, before.all("X-RateLimit-Policy")) == (200, [])
            server.stop()
            during = [await answer() for _ in range(5)]
            assert [one.status for one in during] == [200, 200, 200, 429, 429]
            assert all(one.one("X-RateLimit-Policy") == "degraded" for one in during)
            assert (await scrape(running.port))["quaymaster_limiter_degraded"] == 1


async def test_who_is_refused_again_and_again_gets_an_answer_each_time_and_is_counted() -> None:
    async with (
        origin(counts_requests) as there,
        gateway(
            there.instance, limits={"per_address": 1}, cors={"origins": ["https://a.example"]}
        ) as running,
        wire(running.port) as client,
    ):
        answers = []
        for _ in range(50):
            await client.say(request("GET", "/open/x", "Origin: https://a.example"))
            answers.append(await client.answer())
        counted = await scrape(running.port)
        assert [answer.status for answer in answers] == [200] + [429] * 49
        assert there.requests == 1
        assert len({answer.one("X-Request-Id") for answer in answers}) == 50
        for answer in answers[1:]:
            body = answer.json()
            assert body["error"] == "Rate limit exceeded"
            assert body["message"] == "You have exceeded the rate limit of 1 request per minute"
            assert body["retry_after"] == int(answer.one("Retry-After"))
            assert body["request_id"] == answer.one("X-Request-Id")
            assert answer.one("Access-Control-Allow-Origin") == "https://a.example"
        assert counted['quaymaster_rate_limited_total{rule="address"}'] == 49
        assert counted['quaymaster_errors_total{reason="rate_limited"}'] == 49
        refused = 'quaymaster_requests_total{code="429",method="GET",route="/open/*"}'
        assert counted[refused] == 49


async def test_a_clients_own_id_is_told_each_time() -> None:
    async with gateway(limits={"per_address": 0}) as running, wire(running.port) as client:
        for _ in range(5):
            await client.say(request("GET", "/open/x", "X-Request-Id: mine-1"))
            answer = await client.answer()
            assert (answer.status, answer.one("X-Request-Id")) == (429, "mine-1")
            assert answer.json()["request_id"] == "mine-1"


async def test_all_rules_are_counted_or_none() -> None:
    routes = [
        {
            "path": "/open/*",
            "service": "auth",
            "access": "public",
            "limits": [{"requests": 1, "window_s": 60, "per": "everybody"}],
        },
        {"path": "/other/*", "service": "auth", "access": "public"},
    ]
    limits = {"per_address": 3, "headers": ["ietf"]}
    async with (
        origin(counts_requests) as there,
        gateway(there.instance, routes=routes, limits=limits) as running,
    ):
        answered = [(await ask(running.port, "GET", f"/open/{n}")).status for n in range(5)]
        assert answered == [200, 429, 429, 429, 429]
        left = [(await ask(running.port, "GET", "/other/x")) for _ in range(3)]
        assert [answer.status for answer in left] == [200, 200, 429]
        assert left[0].one("RateLimit").startswith('"address";r=1;t=')
        assert left[0].one("RateLimit-Policy") == '"address";q=3;w=60'
        counted = await scrape(running.port)
        assert counted['quaymaster_rate_limited_total{rule="route"}'] == 4
        assert counted['quaymaster_rate_limited_total{rule="address"}'] == 1


async def test_exempt_networks_are_not_counted() -> None:
    limits = {"per_address": 0, "exempt": ["127.0.0.0/8"]}
    async with origin(counts_requests) as there, gateway(there.instance, limits=limits) as running:
        answer = await ask(running.port, "GET", "/open/x")
        assert answer.status == 200
        assert answer.all("X-RateLimit-Limit") == []


class StoreIsAway:
    """A limiter whose store does not answer: it counts alone, and refuses."""

    async def hit(self, rules: Sequence[Rule]) -> Verdict | None:
        return Verdict(rules[0], False, 0, 30.0, 30.0, degraded=True)

    def refusal(self, rules: Sequence[Rule]) -> Verdict | None:
        return None


@pytest.mark.parametrize(
    ("fail_mode", "status", "reason"),
    [("share", 429, "rate_limited"), ("open", 404, "no_route"), ("closed", 503, "limits_unavailable")],
)
async def test_while_the_store_is_away_limits_are_worth_what_the_settings_say(
    fail_mode: str, status: int, reason: str
) -> None:
    async def answers(exchange: Exchange) -> GatewayError:
        return gateway_error(Reason.NO_ROUTE)

    ours = Endpoint("/ours", ("GET",), "public", answers, limited=True)
    settings = settings_of(limits={"fail_mode": fail_mode})
    async with dispatcher(settings, [ours], limiter=StoreIsAway()) as (made, _), serving(made) as port:
        answer = await ask(port, "GET", "/ours")
        assert (answer.status, answer.json()["reason"]) == (status, reason)
        assert answer.one("X-RateLimit-Policy") == "degraded"
        assert len(answer.all("X-RateLimit-Limit")) == (fail_mode == "share")
        assert len(answer.all("Retry-After")) == (status != 404)


async def test_bad_tokens_are_counted_too_so_that_nobody_guesses_for_long() -> None:
    async with gateway(limits={"per_address": 2}) as running:
        answered = [(await ask(running.port, "GET", "/mine/x", f"token: guess-{n}")).status for n in range(3)]
        assert answered == [401, 401, 429]


async def test_health_and_internal_calls_are_not_limited() -> None:
    async with gateway(limits={"per_address": 0}) as running:
        for path in ("/ping", "/health/ready", "/metrics", "/get_service_instance?service_name=auth"):
            assert (await ask(running.port, "GET", path)).status == 200
        assert (await ask(running.port, "GET", "/open/x")).status == 429
