"""Fixtures every test may use, and the one rule for randomness: fixed seeds."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import ConsulAgent, consul_agent, redis_server

LONGEST = (
    *("tests/faults/test_instances.py", "tests/examples/chat/test_page.py", "tests/bench/fleet/"),
    *("tests/project/test_style.py", "tests/handlers/stores/", "tests/gateway/test_cli.py"),
    *("tests/gateway/runtime/test_serve.py", "tests/faults/", "tests/conformance/test_leaks.py"),
    *("tests/handlers/runtime/test_moves.py", "tests/balancer/strategies/", "tests/examples/"),
    *("tests/conformance/", "tests/gateway/runtime/", "tests/handlers/runtime/"),
)
"""Beginnings of the names of files, the longest first."""

settings.register_profile(
    "quaymaster",
    max_examples=60,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quaymaster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest begin first, so that no worker is left with one of them at the end."""
    ranks = {item.path: _rank(item.nodeid) for item in items}
    items.sort(key=lambda item: ranks[item.path])


def _rank(name: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))


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
