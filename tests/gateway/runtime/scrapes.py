"""What a Prometheus would read."""

from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import Metrics
from tests.gateway.runtime.gateways import ask


def samples(exposition: bytes) -> dict[str, float]:
    """Every series with its value."""
    lines = (line.rpartition(" ") for line in exposition.decode().splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def samples_of(live: LiveState) -> dict[str, float]:
    """The same of a gateway that has counted nothing."""
    return samples(Metrics("1.0").exposition(live))


async def scrape(port: int) -> dict[str, float]:
    return samples((await ask(port, "GET", "/metrics")).body)
