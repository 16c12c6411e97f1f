import pytest

from examples.companion import ai, chat
from examples.companion.chat import KEPT, build
from tests.balancer.origins import refuses
from tests.examples.companion.peers import gateway_to
from tests.examples.standins.clients import alone

HELLO = {"content": "Hello"}


async def test_a_conversation_is_kept_up_to_its_length() -> None:
    async with gateway_to(ai.build) as gateway, alone(build, gateway=gateway) as service:
        for _ in range(KEPT // 2 + 1):
            assert (await service.ask("POST", "/chat/mia/send", HELLO, who="john"))[0] == 201
        _, kept = await service.ask("GET", "/chat/mia/messages", who="john")
        assert len(kept["messages"]) == KEPT
        _, rooms = await service.ask("GET", "/chat/rooms", who="john")
        assert [(room["girl_id"], room["unread"]) for room in rooms["rooms"]] == [("mia", KEPT // 2)]
        assert await service.ask("POST", "/chat/mia/mark-read", who="john") == (200, {"marked": KEPT // 2})


async def test_a_conversation_is_its_users_alone() -> None:
    async with gateway_to(ai.build) as gateway, alone(build, gateway=gateway) as service:
        await service.ask("POST", "/chat/mia/send", HELLO, who="john")
        assert await service.ask("GET", "/chat/mia/messages", who="bob") == (200, {"messages": []})
        assert await service.ask("GET", "/chat/rooms", who="bob") == (200, {"rooms": []})


async def test_nothing_is_kept_when_nobody_answers() -> None:
    async with refuses() as gone, alone(build, gateway=f"http://127.0.0.1:{gone.port}") as service:
        assert (await service.ask("POST", "/chat/mia/send", HELLO, who="john"))[0] == 503
        assert await service.ask("GET", "/chat/mia/messages", who="john") == (200, {"messages": []})


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "MOST_ROOMS", 1)
    async with gateway_to(ai.build) as gateway, alone(build, gateway=gateway) as service:
        asked = [await service.ask("POST", f"/chat/{id}/send", HELLO, who="john") for id in ("mia", "luna")]
        assert [status for status, _ in asked] == [201, 503]
