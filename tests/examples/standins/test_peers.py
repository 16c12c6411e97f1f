from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from examples.chat.service import answer
from examples.standins.peers import Peers
from examples.standins.service import Refusal, Surroundings, new_app, only_services, read_body
from tests.balancer.origins import answers, origin, refuses
from tests.examples.standins.clients import alone
from tests.examples.standins.running import standin

KEY = "the key of all services"


def asks(given: Surroundings) -> web.Application:
    """Passes on what a peer says."""
    peers = Peers(given)

    async def ask(request: web.Request) -> web.Response:
        return answer(await peers.ask("POST", "counter", "/count", await read_body(request, {}, {"by": int})))

    app = new_app(given)
    app.cleanup_ctx.append(peers.lifetime)
    app.router.add_post("/ask", ask)
    return app


def counter(given: Surroundings) -> web.Application:
    async def count(request: web.Request) -> web.Response:
        only_services(request, given.key)
        body = await read_body(request, {}, {"by": int})
        if "by" not in body:
            raise Refusal(402, "by: say how many")
        return answer({"counted": body["by"]})

    app = new_app(given)
    app.router.add_post("/count", count)
    return app


def gateway_of(url: str) -> web.Application:
    """What of a gateway a peer asks."""

    async def instance(request: web.Request) -> web.Response:
        assert request.query["service_name"] == "counter"
        assert request.headers["X-Internal-Key"] == KEY
        return answer({"instance": {"url": url}})

    app = web.Application()
    app.router.add_get("/get_service_instance", instance)
    return app


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    async with standin(counter(Surroundings(key=KEY))) as url, standin(gateway_of(url)) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("body", "expected"),
    [({"by": 2}, (200, {"counted": 2})), ({}, (402, "by: say how many"))],
)
async def test_a_peer_answers_or_its_refusal_is_passed_on(gateway: str, body: Any, expected: Any) -> None:
    async with alone(asks, gateway=gateway, key=KEY) as service:
        status, said = await service.ask("POST", "/ask", body)
        assert (status, said.get("message", said)) == expected


async def test_nobody_who_answers_is_503_and_names_no_address() -> None:
    no_json = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
    async with origin(answers(no_json)) as talks_nonsense, refuses() as gone:
        for instance in (talks_nonsense.instance, gone):
            async with alone(asks, gateway=f"http://127.0.0.1:{instance.port}") as service:
                status, said = await service.ask("POST", "/ask", {"by": 1})
                assert (status, said["message"]) == (503, "a service that this needs does not answer")
