import pytest

from examples.companion import matches
from examples.companion.auth import build
from examples.companion.characters import CHARACTERS
from tests.examples.standins.clients import alone


async def test_of_whom_something_was_said_is_not_discovered_again() -> None:
    async with alone(build) as service:
        for id, action in (("luna", "like"), ("mia", "pass")):
            await service.ask("POST", "/matches/swipe", {"girl_id": id, "action": action}, who="john")
        _, discovered = await service.ask("GET", "/matches/discover", who="john")
        assert [one["girl_id"] for one in discovered["profiles"]] == [*CHARACTERS][2:]
        _, mine = await service.ask("GET", "/matches/list", who="john")
        assert [one["girl_id"] for one in mine["matches"]] == ["luna"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"girl_id": "nobody", "action": "like"}, 404), ({"girl_id": "luna", "action": "stare"}, 400)],
)
async def test_a_swipe_is_a_like_or_a_pass_of_somebody(body: dict[str, str], status: int) -> None:
    async with alone(build) as service:
        assert (await service.ask("POST", "/matches/swipe", body, who="john"))[0] == status


async def test_nobody_unmatches_whom_they_never_met() -> None:
    async with alone(build) as service:
        assert (await service.ask("DELETE", "/matches/luna", who="john"))[0] == 404


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matches, "MOST_PEOPLE", 1)
    like = {"girl_id": "luna", "action": "like"}
    async with alone(build) as service:
        asked = [(await service.ask("POST", "/matches/swipe", like, who=who))[0] for who in ("a", "b", "a")]
    assert asked == [200, 503, 200]
