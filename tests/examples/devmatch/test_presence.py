import pytest

from examples.devmatch import presence
from examples.devmatch.presence import build
from tests.examples.standins.clients import alone


async def test_who_is_online_is_listed_until_they_go() -> None:
    async with alone(build) as service:
        await service.ask("PUT", "/developers/ada", {"status": "online"}, who="ada")
        await service.ask("PUT", "/developers/bob", {"status": "busy"}, who="bob")
        await service.ask("PUT", "/developers/ada", {"status": "offline"}, who="ada")
        _, shown = await service.ask("GET", "/developers")
        assert [(one["user_id"], one["status"]) for one in shown["developers"]] == [("bob", "busy")]


@pytest.mark.parametrize(("who", "status", "expected"), [("bob", "online", 403), ("ada", "asleep", 400)])
async def test_only_they_themselves_say_what_there_is_to_say(who: str, status: str, expected: int) -> None:
    async with alone(build) as service:
        assert (await service.ask("PUT", "/developers/ada", {"status": status}, who=who))[0] == expected


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST_PRESENT", 1)
    async with alone(build) as service:
        asked = [
            await service.ask("PUT", f"/developers/{who}", {"status": "online"}, who=who)
            for who in ("ada", "bob", "ada")
        ]
        assert [status for status, _ in asked] == [200, 503, 200]
