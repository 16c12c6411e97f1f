"""Fixtures every test may use, and the one rule for randomness: fixed seeds."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import ConsulAgent, consul_agent, redis_server

LONGEST = ("tests/faults/", "tests/bench/fleet/", "tests/gateway/runtime/", "tests/handlers/runtime/")

settings.register_profile(
    "quaymaster",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quaymaster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest begin first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture
def rng() -> random.Random:
    return random.Random(20260901)


@pytest.fixture(scope="session")
def consul() -> Iterator[ConsulAgent]:
    """A real Consul agent shared by all tests: use names of your own, and don't stop it."""
    with consul_agent() as agent:
        yield agent


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url
