"""Envoy's path cases over sockets: what was routed and authorised is what the instance sees, or it is 400."""

import json
from typing import Any

import pytest

from tests.conformance.external import load
from tests.conformance.gateways import EVERYTHING, open_gateway
from tests.conformance.recorder import recorder
from tests.conformance.talk import talk

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

ENVOY: dict[str, Any] = load("path/envoy_path.json")
UNCHANGED = [raw for raw, normal in [*ENVOY["normalize"], *ENVOY["merge_slashes"]] if raw == normal]
REWRITTEN = [raw for raw, normal in [*ENVOY["normalize"], *ENVOY["merge_slashes"]] if raw != normal]
NEVER = ("%2f", "%5c")
"""Envoy leaves these as they are; here an encoded slash or backslash is refused."""


async def status_and_target(path: str) -> tuple[int, list[bytes]]:
    async with recorder() as kept, open_gateway(kept.instance) as running, talk(running.port) as client:
        await client.say(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))
        answer = await client.answer()
        return answer.status, [request.target for request in kept.requests()]


@pytest.mark.parametrize("path", [path for path in UNCHANGED if not any(x in path.lower() for x in NEVER)])
async def test_what_nobody_would_rewrite_is_forwarded_byte_for_byte(path: str) -> None:
    assert await status_and_target(path) == (200, [path.encode()])


@pytest.mark.parametrize(
    "path",
    [*REWRITTEN, *ENVOY["invalid"], *(path for path in UNCHANGED if any(x in path.lower() for x in NEVER))],
)
async def test_what_another_would_rewrite_is_refused_and_reaches_nobody(path: str) -> None:
    assert await status_and_target(path) == (400, [])


@pytest.mark.parametrize("path", ["/open/../mine/x", "/open/%2e%2e/mine/x", "/open/..;/mine/x", "//mine/x"])
async def test_a_path_does_not_get_past_its_routes_access(path: str) -> None:
    routes = [EVERYTHING | {"path": "/open/*"}, EVERYTHING | {"path": "/mine/*", "access": "user"}]
    async with (
        recorder() as kept,
        open_gateway(kept.instance, routes=routes) as running,
        talk(running.port) as client,
    ):
        await client.say(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = await client.answer()
        assert answer.status == 400
        assert json.loads(answer.body)["reason"] == "bad_path"
        assert not kept.begun()
