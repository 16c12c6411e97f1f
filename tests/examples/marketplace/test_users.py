from examples.marketplace.users import build
from tests.examples.standins.clients import Alone, alone


async def registered(service: Alone, name: str) -> str:
    body = {"email": f"{name}@example.com", "password": "correct horse"}
    return str((await service.ask("POST", "/api/users/", body))[1]["user"]["id"])


async def test_everybody_is_listed_by_what_they_say_of_themselves() -> None:
    async with alone(build) as service:
        ada, bob = [await registered(service, name) for name in ("ada", "bob")]
        status, changed = await service.ask("PUT", "/api/profile/", {"name": "Ada", "tier": "elite"}, who=ada)
        assert (status, changed["name"], changed["tier"]) == (200, "Ada", "free")
        assert await service.ask("GET", f"/api/users/{ada}/") == (200, {"id": ada, "name": "Ada"})
        everybody = {"count": 2, "results": [{"id": bob}, {"id": ada, "name": "Ada"}]}
        assert await service.ask("GET", "/api/users/") == (200, everybody)
        assert (await service.ask("GET", "/api/users/nobody/"))[0] == 404


async def test_it_says_how_it_is() -> None:
    async with alone(build) as service:
        assert (await service.ask("GET", "/api/health/"))[0] == 200
