import pytest

from examples.companion import stories
from examples.companion.media import build
from tests.examples.standins.clients import alone


async def test_a_story_is_seen_by_each_once() -> None:
    async with alone(build) as service:
        for who, views in (("john", 1), ("john", 1), ("bob", 2)):
            seen = await service.ask("POST", "/stories/mia-1/view", who=who)
            assert seen == (200, {"story_id": "mia-1", "views": views})
        _, shown = await service.ask("GET", "/stories/", who="john")
        assert {one["story_id"]: one["viewed"] for one in shown["stories"]} == {
            "luna-1": False,
            "mia-1": True,
            "noor-1": False,
        }
        _, of_luna = await service.ask("GET", "/stories/luna", who="john")
        assert [one["story_id"] for one in of_luna["stories"]] == ["luna-1"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/stories/nobody"), ("POST", "/stories/none/view")])
async def test_what_there_is_not_is_not_found(method: str, path: str) -> None:
    async with alone(build) as service:
        assert (await service.ask(method, path, who="john"))[0] == 404


async def test_viewers_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "MOST_VIEWERS", 1)
    async with alone(build) as service:
        for who in ("john", "bob"):
            _, seen = await service.ask("POST", "/stories/mia-1/view", who=who)
        assert seen["views"] == 1
