import pytest

from examples.marketplace.freelance import build
from tests.examples.standins.clients import alone


@pytest.mark.parametrize(
    "path", ["/api/gigs/", "/api/orders/", "/api/reviews/", "/api/proposals/", "/api/health/"]
)
async def test_it_is_there(path: str) -> None:
    async with alone(build) as service:
        assert (await service.ask("GET", path))[0] == 200
