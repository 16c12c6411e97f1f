import pytest

from examples.marketplace.notifications import build
from tests.examples.standins.clients import alone


@pytest.mark.parametrize("path", ["/api/notifications/", "/api/health/"])
async def test_it_is_there(path: str) -> None:
    async with alone(build) as service:
        assert (await service.ask("GET", path))[0] == 200
