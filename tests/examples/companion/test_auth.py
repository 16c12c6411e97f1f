from typing import Any

from examples.companion.auth import build
from tests.examples.standins.clients import Alone, alone

JOHN = {"username": "john", "email": "john@example.com", "password": "SecurePass123", "age": 25}


async def registered(service: Alone) -> dict[str, Any]:
    return dict((await service.ask("POST", "/auth/register", JOHN))[1])


async def test_nobody_under_eighteen_registers() -> None:
    async with alone(build) as service:
        status, body = await service.ask("POST", "/auth/register", {**JOHN, "age": 17})
        assert (status, body["message"]) == (400, "age: must be 18 or more")


async def test_a_tier_that_was_paid_for_is_in_the_account_with_its_roles() -> None:
    async with alone(build) as service:
        uid = (await registered(service))["user"]["id"]
        changed = {"user_id": uid, "tier": "elite"}
        assert await service.ask("POST", "/tiers", changed) == (200, changed)
        _, user = await service.ask("GET", "/auth/me", who=uid)
        assert (user["tier"], user["roles"]) == ("elite", ["premium", "elite"])
        assert (await service.ask("POST", "/tiers", {"user_id": uid, "tier": "king"}))[0] == 400
        assert (await service.ask("POST", "/tiers", {"user_id": "nobody", "tier": "free"}))[0] == 404


async def test_tiers_are_for_services_to_change() -> None:
    async with alone(build, key="the key of the services") as service:
        assert (await service.ask("POST", "/tiers", {"user_id": "u", "tier": "elite"}))[0] == 403


async def test_a_deleted_account_takes_its_matches_along() -> None:
    async with alone(build) as service:
        uid = (await registered(service))["user"]["id"]
        await service.ask("POST", "/matches/swipe", {"girl_id": "luna", "action": "like"}, who=uid)
        assert await service.ask("GET", "/users/stats", who=uid) == (200, {"matches": 1, "tier": "free"})
        assert (await service.ask("DELETE", "/users/account", who=uid))[0] == 200
        assert (await service.ask("GET", "/users/profile", who=uid))[0] == 404
        assert await service.ask("GET", "/matches/list", who=uid) == (200, {"matches": []})
