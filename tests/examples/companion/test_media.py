import pytest

from examples.companion import media, payment
from examples.companion.media import build
from tests.examples.companion.peers import gateway_to
from tests.examples.standins.clients import alone

LUNA = {"girl_id": "luna"}


async def test_a_picture_is_its_users_alone() -> None:
    async with gateway_to(payment.build) as gateway, alone(build, gateway=gateway) as service:
        status, task = await service.ask("POST", "/media/generate-photo", LUNA, who="john")
        assert (status, task["kind"]) == (202, "photo")
        assert await service.ask("GET", "/media/photos/luna", who="john") == (200, {"photos": [task]})
        assert await service.ask("GET", "/media/videos/luna", who="john") == (200, {"videos": []})
        assert await service.ask("GET", "/media/photos/luna", who="bob") == (200, {"photos": []})
        one = f"/media/task/{task['task_id']}"
        assert (await service.ask("GET", one, who="john"))[0] == 200
        assert (await service.ask("GET", one, who="bob"))[0] == 404


async def test_nothing_is_made_for_who_can_not_pay() -> None:
    async with gateway_to(payment.build) as gateway, alone(build, gateway=gateway) as service:
        asked = [(await service.ask("POST", "/media/generate-video", LUNA, who="john"))[0] for _ in range(2)]
        assert asked == [202, 402]
        _, videos = await service.ask("GET", "/media/videos/luna", who="john")
        assert len(videos["videos"]) == 1


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MOST_TASKS", 0)
    async with alone(build) as service:
        assert (await service.ask("POST", "/media/generate-photo", LUNA, who="john"))[0] == 503
