"""Which endpoints a gateway has of its own, by its settings."""

import gc

import pytest

from gateway.runtime.endpoints.handler_tunnel import HandlerTunnelEndpoint, KnownHandlers
from tests.gateway.runtime.gateways import ask, gateway, settings_of

HANDLERS = {"service": "auth", "secret": "a secret of the handlers' tests, long enough"}


async def test_a_pool_brings_the_endpoints_of_its_clients_handlers_and_operators() -> None:
    async with gateway(handlers=HANDLERS) as running:
        assert (await ask(running.port, "GET", "/get_websocket_handler")).status == 401
        assert (await ask(running.port, "POST", "/handlers/register")).status == 400
        assert (await ask(running.port, "GET", "/admin/handlers/nobody/drain")).status == 404


@pytest.mark.parametrize("path", ["/get_websocket_handler", "/handlers/register"])
async def test_without_a_pool_there_are_none_of_these(path: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", path)
        assert (answer.status, answer.json()["reason"]) == (404, "no_route")


async def test_a_tunnel_is_there_only_where_the_pool_is_exposed_by_one() -> None:
    async with gateway(handlers={**HANDLERS, "expose": "tunnel"}) as running:
        assert (await ask(running.port, "GET", "/ws/nobody")).json()["reason"] != "no_route"
    async with gateway(handlers=HANDLERS) as running:
        assert (await ask(running.port, "GET", "/ws/nobody")).json()["reason"] == "no_route"


async def test_a_reload_leaves_no_tunnel_of_the_settings_before_behind() -> None:
    sections = {"handlers": {**HANDLERS, "expose": "tunnel"}}
    async with gateway(**sections) as running:
        for _ in range(3):
            await running.follow(settings_of(**sections))
        gc.collect()
        alive = [type(thing) for thing in gc.get_objects()]
        assert (alive.count(KnownHandlers), alive.count(HandlerTunnelEndpoint)) == (1, 1)
        assert (await ask(running.port, "GET", "/ws/nobody")).json()["reason"] != "no_route"
