from examples.devmatch.orchestrator import build
from tests.examples.standins.clients import alone


async def test_it_says_how_it_is() -> None:
    async with alone(build) as service:
        assert (await service.ask("GET", "/health"))[0] == 200
