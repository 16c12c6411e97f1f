import pytest
from aiohttp import web

from examples.standins import collection
from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, timestamp
from tests.examples.standins.clients import alone


def build(given: Surroundings) -> web.Application:
    return collections(given, [Kind("/notes/", "note", {"title": str}, {"text": str})], "/well")


async def test_it_says_how_it_is_where_it_is_asked() -> None:
    async with alone(build) as service:
        assert (await service.ask("GET", "/well"))[0] == 200


async def test_an_item_is_made_shown_changed_and_deleted() -> None:
    async with alone(build) as service:
        status, note = await service.ask("POST", "/notes/", {"title": "a", "x": 1}, who="ada")
        assert (status, note) == (
            201,
            {
                "id": note["id"],
                "title": "a",
                "owner_id": "ada",
                "created_at": timestamp(service.clock.now),
            },
        )
        one = f"/notes/{note['id']}"
        assert await service.ask("GET", one) == (200, note)
        changed = note | {"text": "b"}
        assert await service.ask("PUT", f"{one}/", {"text": "b"}, who="ada") == (200, changed)
        assert await service.ask("GET", "/notes/") == (200, {"count": 1, "results": [changed]})
        assert await service.ask("DELETE", one, who="ada") == (204, None)
        assert (await service.ask("GET", one))[0] == 404


async def test_the_newest_comes_first_and_a_field_filters() -> None:
    async with alone(build) as service:
        for title in ("a", "b", "a"):
            await service.ask("POST", "/notes/", {"title": title, "text": "t"}, who="ada")
        _, found = await service.ask("GET", "/notes/")
        assert [note["title"] for note in found["results"]] == ["a", "b", "a"]
        _, found = await service.ask("GET", "/notes/?title=b&page=1")
        assert found["count"] == 1
        _, found = await service.ask("GET", "/notes/?owner_id=bob")
        assert found == {"count": 0, "results": []}


@pytest.mark.parametrize(("method", "status"), [("PUT", 403), ("DELETE", 403)])
async def test_nobody_touches_what_is_somebody_elses(method: str, status: int) -> None:
    async with alone(build) as service:
        _, note = await service.ask("POST", "/notes/", {"title": "a"}, who="ada")
        assert (await service.ask(method, f"/notes/{note['id']}", {"title": "b"}, who="bob"))[0] == status
        assert await service.ask("GET", f"/notes/{note['id']}") == (200, note)


@pytest.mark.parametrize(("public", "said"), [(True, "public"), (False, "no-store")])
async def test_only_what_is_public_may_be_kept(public: bool, said: str) -> None:
    def posters(given: Surroundings) -> web.Application:
        return collections(given, [Kind("/posters/", "poster", {"text": str}, {}, public)])

    async with alone(posters) as service, service.client.get("/posters/") as shown:
        assert shown.headers["Cache-Control"] == said


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MOST_ITEMS", 1)
    async with alone(build) as service:
        assert (await service.ask("POST", "/notes/", {"title": "a"}, who="ada"))[0] == 201
        assert (await service.ask("POST", "/notes/", {"title": "b"}, who="ada"))[0] == 503
