from typing import Any

import pytest

from examples.companion import auth, payment
from examples.companion.payment import GIFT, build
from tests.balancer.origins import refuses
from tests.examples.companion.peers import gateway_to
from tests.examples.standins.clients import alone


async def test_tokens_are_bought_and_spent_and_never_less_than_none() -> None:
    async with alone(build) as service:
        assert await service.ask("GET", "/payment/tokens", who="john") == (200, {"tokens": GIFT})
        await service.ask("POST", "/payment/purchase-tokens", {"package": "small"}, who="john")
        for tokens, expected in ((GIFT + 51, 402), (GIFT + 50, 200), (1, 402), (-5, 402)):
            charge = {"user_id": "john", "tokens": tokens}
            assert (await service.ask("POST", "/charges", charge))[0] == expected
        assert await service.ask("GET", "/payment/tokens", who="john") == (200, {"tokens": 0})


async def test_only_services_charge() -> None:
    async with alone(build, key="the key of the services") as service:
        assert (await service.ask("POST", "/charges", {"user_id": "john", "tokens": 1}))[0] == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [("/payment/subscribe", {"plan": "king"}), ("/payment/purchase-tokens", {"package": "huge"})],
)
async def test_only_what_there_is_is_sold(path: str, body: Any) -> None:
    async with alone(build) as service:
        assert (await service.ask("POST", path, body, who="john"))[0] == 400


async def test_nobody_has_a_plan_that_their_tokens_would_not_say() -> None:
    """Because auth-service does not know them, or can't be asked."""
    async with gateway_to(auth.build) as gateway, alone(build, gateway=gateway) as service:
        assert (await service.ask("POST", "/payment/subscribe", {"plan": "elite"}, who="nobody"))[0] == 404
        assert await service.ask("GET", "/payment/subscription", who="nobody") == (200, {"plan": "free"})
    async with refuses() as gone, alone(build, gateway=f"http://127.0.0.1:{gone.port}") as service:
        assert (await service.ask("POST", "/payment/subscribe", {"plan": "elite"}, who="john"))[0] == 503


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment, "MOST_ACCOUNTS", 1)
    async with alone(build) as service:
        asked = [(await service.ask("GET", "/payment/tokens", who=who))[0] for who in ("a", "b", "a")]
    assert asked == [200, 503, 200]
