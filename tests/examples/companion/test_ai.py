from examples.companion.ai import build
from tests.examples.standins.clients import alone

ASKED = {"to": "luna", "content": "x" * 200}


async def test_a_character_answers_with_what_it_likes() -> None:
    async with alone(build) as service:
        status, said = await service.ask("POST", "/replies", ASKED)
        assert status == 200
        assert said["content"].startswith("Let us talk about the night sky.")
        assert said["content"].count("x") == 80


async def test_only_services_ask() -> None:
    async with alone(build, key="the key of the services") as service:
        assert (await service.ask("POST", "/replies", ASKED))[0] == 403
