import pytest

from gateway.errors import GatewayError
from gateway.runtime.endpoints.pools import Pool, Pools
from handlers.model import PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from tests.gateway.runtime.gateways import SECRET, exchange_for, unsent_request


def named(*names: str) -> Pools:
    settings = PoolSettings()
    store = MemoryStore(settings, lambda: 0.0)
    return Pools(*(Pool(name, Allocator(store, settings, TicketSecrets(SECRET))) for name in names))


def found(pools: Pools, name: str | None) -> str:
    """The name of the pool that is found, or why there is none."""
    pool = pools.named(name)
    return pool.reason if isinstance(pool, GatewayError) else pool.name


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (("chat",), None, "chat"),
        (("chat",), "chat", "chat"),
        (("chat",), "feed", "unknown_pool"),
        (("chat", "feed"), None, "missing_parameter"),
        (("chat", "feed"), "feed", "feed"),
        (("chat", "default"), None, "default"),
        (("chat", "default"), "", "unknown_pool"),
        ((), None, "missing_parameter"),
    ],
)
def test_which_pool_is_meant(names: tuple[str, ...], asked: str | None, expected: str) -> None:
    assert found(named(*names), asked) == expected


@pytest.mark.parametrize(
    ("query", "expected"), [("", ["a", "b"]), ("?pool=b", ["b"]), ("?x=1", ["a", "b"]), ("?pool=c", None)]
)
def test_all_pools_or_the_one_that_is_asked_for(query: str, expected: list[str] | None) -> None:
    pools = named("a", "b").all_asked_for(exchange_for(unsent_request("GET", f"/x{query}")))
    assert (None if isinstance(pools, GatewayError) else [pool.name for pool in pools]) == expected


def test_pools_are_known_by_their_names() -> None:
    pools = named("a", "b")
    assert (list(pools), len(pools), pools["b"].name) == (["a", "b"], 2, "b")
    assert repr(pools) == "<Pools: a, b>"
