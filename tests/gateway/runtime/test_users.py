"""Users of a whole gateway: what they may, when their tokens end, and what a reload changes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.settings import Settings
from registry.runtime.clock import unix_now
from tests.balancer.origins import Connection, Origin, answers, counts_requests, origin, refuses
from tests.gateway.runtime.gateways import (
    RawAnswer,
    ask,
    eventually,
    gateway,
    request,
    said,
    settings_of,
    token,
    wire,
)
from tests.gateway.runtime.scrapes import scrape
from tests.gateway.tokens import P256, jwk, signed_by
from tests.servers import hasty, own_redis, patient

ROUTES: list[dict[str, Any]] = [
    {"path": "/mine/*", "service": "auth", "access": "user"},
    {"path": "/admins/*", "service": "auth", "access": "user", "require": {"roles": ["admin", "owner"]}},
    {"path": "/items/*", "service": "auth", "access": "user", "require": {"scopes": ["read", "write"]}},
    {"path": "/logout", "service": "auth", "access": "user", "methods": ["POST"], "revoke_token": True},
]


@pytest.fixture
async def auth() -> AsyncIterator[Origin]:
    async with origin(counts_requests) as there:
        yield there


def outcome(answer: RawAnswer) -> tuple[int, str | None]:
    return answer.status, None if answer.status < 400 else answer.json()["reason"]


async def get(port: int, path: str, *lines: str) -> tuple[int, str | None]:
    return outcome(await ask(port, "GET", path, *lines))


# Rights


@pytest.mark.parametrize(
    ("path", "claims", "expected"),
    [
        ("/admins/x", {"roles": ["owner"]}, (200, None)),
        ("/admins/x", {"role": "admin"}, (200, None)),
        ("/admins/x", {"roles": ["user"]}, (403, "missing_role")),
        ("/admins/x", {"roles": ["admin "]}, (403, "missing_role")),
        ("/admins/x", {}, (403, "missing_role")),
        ("/items/x", {"scope": "write read more"}, (200, None)),
        ("/items/x", {"scope": "read"}, (403, "missing_scope")),
        ("/items/x", {"scope": "readwrite"}, (403, "missing_scope")),
        ("/mine/x", {}, (200, None)),
    ],
)
async def test_a_route_may_require_more_than_a_good_token(
    path: str, claims: dict[str, Any], expected: tuple[int, str | None], auth: Origin
) -> None:
    async with gateway(auth.instance, routes=ROUTES) as running:
        answer = await ask(running.port, "GET", path, f"token: {token('ada', **claims)}")
    assert outcome(answer) == expected
    assert auth.requests == (expected[0] == 200)
    if expected[1] == "missing_scope":
        assert answer.one("WWW-Authenticate") == 'Bearer error="insufficient_scope"'


async def test_who_may_not_is_counted_all_the_same(auth: Origin) -> None:
    async with gateway(auth.instance, routes=ROUTES, limits={"per_user": 2}) as running:
        line = f"token: {token('ada')}"
        seen = [await get(running.port, "/admins/x", line) for _ in range(3)]
    assert seen == [(403, "missing_role")] * 2 + [(429, "rate_limited")]


# Logout


async def test_a_logged_out_token_is_good_no_more(auth: Origin) -> None:
    line, other = f"token: {token('ada')}", f"token: {token('ada', jti='another of hers')}"
    async with gateway(auth.instance, routes=ROUTES) as running, wire(running.port) as client:
        for _ in range(2):
            await client.say(request("GET", "/mine/x", line))
            assert (await client.answer()).status == 200
        await client.say(request("POST", "/logout", line))
        assert (await client.answer()).status == 200
        await client.say(request("GET", "/mine/x", line))
        assert outcome(await client.answer()) == (401, "revoked_token")
        assert await get(running.port, "/mine/x", other) == (200, None)
        counted = await scrape(running.port)
        assert counted['quaymaster_tokens_total{result="revoked"}'] == 1
    assert auth.requests == 4


@pytest.mark.parametrize("status", [b"401 No", b"500 Oh", b"403 No"])
async def test_a_logout_that_failed_is_none(status: bytes) -> None:
    line = f"token: {token('ada')}"
    refusing = answers(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
    async with origin(refusing) as auth, gateway(auth.instance, routes=ROUTES) as running:
        await ask(running.port, "POST", "/logout", line)
        await ask(running.port, "GET", "/mine/x", line)
        assert auth.requests == 2, "the token is as good as before"


async def answers_slowly(connection: Connection) -> None:
    """Only the head of its answer comes; the rest at the word."""
    await connection.request()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nby")
    await connection.origin.go.wait()


async def test_a_logout_whose_client_does_not_wait_counts() -> None:
    line = f"token: {token('ada')}"
    async with origin(answers_slowly) as auth, gateway(auth.instance, routes=ROUTES) as running:
        async with wire(running.port) as client:
            await client.say(request("POST", "/logout", line))
            await client.head()

        async def is_revoked() -> bool:
            answer = await ask(running.port, "HEAD", "/mine/x", line)
            return answer.status == 401

        auth.go.set()
        await eventually(is_revoked)


async def test_every_gateway_of_a_store_honours_it_and_what_it_does_without_the_store() -> None:
    with own_redis() as server:
        store = {"backend": "redis", "url": patient(server.url)}
        careful = {"revocation": {"store_down": "fail_closed", "refresh_s": 0.05}}
        quick = {"revocation": {"refresh_s": 0.05}}
        async with (
            origin(counts_requests) as auth,
            gateway(auth.instance, routes=ROUTES, store=store, identity=quick) as one,
            gateway(
                auth.instance, routes=ROUTES, store=store | {"url": hasty(server.url)}, identity=careful
            ) as other,
        ):
            line, others = f"token: {token('ada')}", f"token: {token('bob')}"
            assert await get(other.port, "/mine/x", line) == (200, None)
            assert (await ask(one.port, "POST", "/logout", line)).status == 200

            async def other_knows() -> bool:
                return await get(other.port, "/mine/x", line) == (401, "revoked_token")

            async def other_is_closed() -> bool:
                return await get(other.port, "/mine/x", others) == (503, "identity_unavailable")

            async def other_is_open() -> bool:
                return await get(other.port, "/mine/x", others) == (200, None)

            await eventually(other_knows)
            assert await other_is_open()
            server.stop()
            await eventually(other_is_closed)
            assert await get(one.port, "/mine/x", others) == (200, None), "fail_open"
            assert await get(one.port, "/mine/x", line) == (401, "revoked_token"), "and what is known counts"
            server.start()
            await eventually(other_is_open)
            assert await other_knows()


# Asking the issuer


async def test_the_issuer_is_asked_through_the_balancer() -> None:
    identity = {"mode": "introspect", "secret": None}
    async with (
        refuses("down") as down,
        origin(counts_requests) as auth,
        gateway(down, auth.instance, routes=ROUTES, identity=identity) as running,
    ):
        lines = ("token: opaque", "uid: ada")
        for _ in range(3):
            assert await get(running.port, "/mine/x", *lines) == (200, None)
        checks = [head for head in auth.heads if head.startswith(b"GET /token_check?token=opaque&uid=ada ")]
        assert len(checks) == 1
        assert said(auth.heads[-1], "X-User-Id") == ["ada"]
        assert await get(running.port, "/mine/x", "token: opaque") == (400, "missing_parameter")
        assert await get(running.port, "/mine/x") == (401, "missing_token")


async def test_a_flood_of_made_up_tokens_asks_no_more_than_its_address_may() -> None:
    identity = {"mode": "introspect", "secret": None}
    no = answers(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    async with (
        origin(no) as auth,
        gateway(auth.instance, routes=ROUTES, identity=identity, limits={"per_address": 3}) as running,
    ):
        said = [await get(running.port, "/mine/x", f"token: guess-{n}", "uid: ada") for n in range(6)]
        assert said == [(401, "invalid_token")] * 3 + [(429, "rate_limited")] * 3
        assert len(auth.heads) == 3


async def test_an_issuer_that_says_no_and_one_that_does_not_say() -> None:
    identity = {"mode": "introspect", "secret": None, "introspection": {"timeout_s": 0.2}}
    lines = ("token: opaque", "uid: ada")
    no = answers(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    async with origin(no) as auth, gateway(auth.instance, routes=ROUTES, identity=identity) as running:
        assert await get(running.port, "/mine/x", *lines) == (401, "invalid_token")
    async with refuses() as nobody, gateway(nobody, routes=ROUTES, identity=identity) as running:
        answer = await ask(running.port, "GET", "/mine/x", *lines)
        assert outcome(answer) == (503, "identity_unavailable")
        assert answer.one("Retry-After") == "1"


# A reload


async def test_new_settings_say_who_is_believed(auth: Origin) -> None:
    old, new = token("ada"), token("ada", secret="another secret, which is long enough", roles=["a"])

    def with_identity(**identity: Any) -> Settings:
        return settings_of(auth.instance, routes=ROUTES, identity=identity)

    async with gateway(auth.instance, routes=ROUTES) as running, wire(running.port) as client:

        async def status(made: str) -> int:
            await client.say(request("GET", "/mine/x", f"token: {made}"))
            return (await client.answer()).status

        assert [await status(old), await status(new)] == [200, 401]
        changed = {"secret": "another secret, which is long enough", "claim_headers": {"X-Roles": "roles"}}
        await running.follow(with_identity(**changed))
        assert [await status(old), await status(new)] == [401, 200]
        assert said(auth.heads[-1], "X-Roles") == ["a"]
        await running.follow(with_identity(**{**changed, "max_token_bytes": 256, "claim_headers": {}}))
        long = token("ada", secret="another secret, which is long enough", x="y" * 300)
        assert [await status(long), await status(new)] == [401, 200]
        assert said(auth.heads[-1], "X-Roles") == []
        await running.follow(with_identity(mode="introspect"))
        assert await status("opaque") == 400, "no uid"


async def test_what_was_revoked_stays_so(auth: Origin) -> None:
    line = f"token: {token('ada')}"
    async with gateway(auth.instance, routes=ROUTES) as running:
        await ask(running.port, "POST", "/logout", line)
        await running.follow(settings_of(auth.instance, routes=ROUTES, identity={"leeway_s": 5}))
        assert await get(running.port, "/mine/x", line) == (401, "revoked_token")


async def test_a_key_set_that_rotates_behind_a_gateway() -> None:
    body = json.dumps({"keys": [jwk(P256, "ES256", kid="a")]}).encode()
    document = answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    async with origin(document) as issuer, origin(counts_requests) as auth:
        url = f"http://127.0.0.1:{issuer.instance.port}/keys"
        identity = {"algorithms": ["ES256"], "secret": None, "jwks_url": url}
        async with gateway(auth.instance, routes=ROUTES, identity=identity) as running:
            good = signed_by(P256, "ES256", "a", exp=unix_now() + 60)
            unknown = signed_by(P256, "ES256", "b", exp=unix_now() + 60)
            assert await get(running.port, "/mine/x", f"token: {good}") == (200, None)
            assert await get(running.port, "/mine/x", f"token: {unknown}") == (401, "invalid_token")
            await issuer.stop()
            assert await get(running.port, "/mine/x", f"token: {good}") == (200, None)
            await running.follow(
                settings_of(auth.instance, routes=ROUTES, identity={**identity, "jwks_refresh_s": 60})
            )
            assert await get(running.port, "/mine/x", f"token: {good}") == (200, None), "the last good keys"
