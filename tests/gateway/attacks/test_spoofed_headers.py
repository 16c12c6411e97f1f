"""Clients that say who they are by the headers that instances believe (RELIABILITY 3.1, H4 and H7)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.balancer.origins import Origin, counts_requests, origin
from tests.gateway.runtime.gateways import ask, gateway, request, said, token, wire

CLAIM_HEADERS = {"X-User-Roles": "roles", "X-User-Email": "email", "X-Tenant": "org.id"}
BELIEVED = ("x-user-id", "x-user-roles", "x-user-email", "x-tenant")

SPOOFS: dict[str, list[str]] = {
    "X-User-Id": ["X-User-Id: root"],
    "x_user_id": ["x_user_id: root"],
    "X_USER_ID": ["X_USER_ID: root"],
    "X-User_Id": ["X-User_Id: root"],
    "twice": ["X-User-Id: root", "X-User-Id: ada"],
    "X-User-Roles": ["X-User-Roles: root"],
    "x_user_roles": ["x_user_roles: root"],
    "X-USER-ROLES": ["X-USER-ROLES: root"],
    "X-User-Email, which the token has not": ["X-User-Email: root", "x_user_email: root"],
    "X-Tenant": ["x-tenant: root", "X_Tenant: root"],
    "Connection: X-User-Id": ["Connection: X-User-Id"],
    "Connection: all": ["Connection: close, X-User-Id, X-User-Roles, x-tenant"],
    "both": ["Connection: X-User-Roles", "X-User-Roles: root"],
    "Connection: x_user_id": ["Connection: x_user_id", "x_user_id: root"],
}


@pytest.fixture
async def auth() -> AsyncIterator[Origin]:
    async with origin(counts_requests) as there:
        yield there


def believed(head: bytes) -> dict[str, list[str]]:
    """What an instance reads under those names, also one that takes `_` for `-`."""
    plain = head.replace(b"_", b"-")
    return {name: values for name in BELIEVED if (values := said(plain, name))}


@pytest.mark.parametrize("path", ["/open/x", "/mine/x", "/inside/x"])
async def test_instances_believe_what_they_get(path: str, auth: Origin) -> None:
    claims: dict[str, Any] = {"roles": ["user", "beta"], "org": {"id": "acme"}}
    verified = {"x-user-id": ["ada"], "x-user-roles": ["user,beta"], "x-tenant": ["acme"]}
    async with gateway(auth.instance, identity={"claim_headers": CLAIM_HEADERS}) as running:
        for name, lines in SPOOFS.items():
            token_line = f"token: {token('ada', **claims)}"
            assert (await ask(running.port, "GET", path, token_line, *lines)).status == 200
            head = auth.heads[-1]
            assert believed(head) == (verified if path == "/mine/x" else {}), name
            assert b"root" not in head, name
    assert auth.requests == len(SPOOFS)


async def test_claims_come_as_one_safe_line_each(auth: Origin) -> None:
    odd: dict[str, Any] = {
        "roles": ["a,b", "c\r\nX-User-Id: root", "\u0430dmin"],
        "email": "a\r\n\r\nGET /",
        "org": {"id": "%0d"},
    }
    async with gateway(auth.instance, identity={"claim_headers": CLAIM_HEADERS}) as running:
        assert (await ask(running.port, "GET", "/mine/x", f"token: {token('ada', **odd)}")).status == 200
    assert believed(auth.heads[0]) == {
        "x-user-id": ["ada"],
        "x-user-roles": ["a%2Cb,c%0D%0AX-User-Id:%20root,%D0%B0dmin"],
        "x-user-email": ["a%0D%0A%0D%0AGET%20/"],
        "x-tenant": ["%250d"],
    }


async def test_the_next_user_of_a_connection_is_not_the_last_one(auth: Origin) -> None:
    tokens = [token("ada", roles=["admin"]), token("ada", roles=["user"]), token("bob")]
    identity = {"claim_headers": CLAIM_HEADERS}
    async with gateway(auth.instance, identity=identity) as running, wire(running.port) as client:
        for one in [*tokens, *reversed(tokens)]:
            await client.say(request("GET", "/mine/x", f"token: {one}"))
            assert (await client.answer()).status == 200
    seen = [believed(head) for head in auth.heads]
    admin, user, bob = seen[:3]
    assert (admin["x-user-roles"], user["x-user-roles"], bob) == (["admin"], ["user"], {"x-user-id": ["bob"]})
    assert seen[3:] == [bob, user, admin]


async def test_handlers_behind_the_gateway_get_none_of_it_either(auth: Origin) -> None:
    """Nobody is asked who they are on the way there: the ticket tells the handler."""
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    name = f"127.0.0.1:{auth.instance.port}"
    async with gateway(
        auth.instance,
        handlers={"service": "auth", "expose": "tunnel", "secret": "s" * 32},
        identity={"claim_headers": CLAIM_HEADERS},
    ) as running:
        for lines in SPOOFS.values():
            kept = [line for line in lines if not line.startswith("Connection")]
            answer = await ask(running.port, "GET", f"/ws/{name}", *upgrade, key, *kept)
            assert answer.status != 404, answer.body
    assert auth.requests == len(SPOOFS)
    assert not any(b"root" in head or believed(head) for head in auth.heads)
