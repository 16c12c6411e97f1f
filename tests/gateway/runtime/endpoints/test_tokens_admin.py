"""An operator takes a token out of use."""

from collections.abc import AsyncIterator

import pytest

from registry.runtime.clock import unix_now
from tests.balancer.origins import Origin, counts_requests, origin
from tests.gateway.runtime.gateways import KEY, ask, gateway, post_json, token

PATH = "/admin/tokens/revoke"


@pytest.fixture
async def auth() -> AsyncIterator[Origin]:
    async with origin(counts_requests) as there:
        yield there


async def status_of(port: int, made: str) -> tuple[int, str | None]:
    answer = await ask(port, "GET", "/mine/x", f"token: {made}")
    return answer.status, None if answer.status == 200 else answer.json()["reason"]


async def test_by_the_token_itself(auth: Origin) -> None:
    good, other = token("ada"), token("bob")
    async with gateway(auth.instance) as running:
        assert await status_of(running.port, good) == (200, None)
        revoked = await post_json(running.port, PATH, {"token": good})
        assert revoked.status == 200
        said = revoked.json()
        assert (said["status"], said["everywhere"]) == ("revoked", True)
        assert said["until"] > unix_now() + 3000
        assert await status_of(running.port, good) == (401, "revoked_token")
        assert await status_of(running.port, other) == (200, None)
        refused = await ask(running.port, "GET", "/mine/x", f"token: {good}")
        assert refused.one("WWW-Authenticate") == 'Bearer error="invalid_token"'


async def test_by_its_jti(auth: Origin) -> None:
    good = token("ada", jti="session-7")
    async with gateway(auth.instance) as running:
        said = await post_json(running.port, PATH, {"jti": "session-7", "expires_at": unix_now() + 3600})
        assert said.status == 200
        assert await status_of(running.port, good) == (401, "revoked_token")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "give the token, or its jti"),
        ({"token": "nonsense"}, "not good here"),
        ({"token": "a.b.c"}, "not good here"),
        ({"jti": "session-7"}, "expires_at"),
        ({"jti": "session-7", "expires_at": 12}, "expires_at: is over"),
    ],
)
async def test_what_can_not_be_revoked(message: object, words: str) -> None:
    async with gateway() as running:
        refused = await post_json(running.port, PATH, message)
        assert (refused.status, refused.json()["reason"]) == (400, "bad_parameter")
        assert words in refused.json()["message"]


async def test_it_is_for_operators() -> None:
    async with gateway(internal={"networks": ["192.0.2.0/24"], "key": KEY}) as running:
        message = {"jti": "session-7", "expires_at": unix_now() + 3600}
        assert (await post_json(running.port, PATH, message)).status == 403
        assert (await post_json(running.port, PATH, message, f"X-Internal-Key: {KEY}")).status == 200
        assert (await ask(running.port, "GET", PATH)).status == 405
