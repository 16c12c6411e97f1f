import asyncio
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from gateway.runtime import handler_feed
from gateway.runtime.handler_feed import HandlerFeed
from handlers.model import Known, PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot
from tests.gateway.runtime.gateways import eventually

SERVICE = ServiceName("websocket-handler")


def snapshot_of(version: int, *names: str) -> ServiceSnapshot:
    instances = tuple(Instance(InstanceId(name), SERVICE, "10.0.0.1", 80, "10.0.0.1") for name in names)
    return snapshot(SERVICE, Status.KNOWN, version=version, instances=instances, answered_at=0.0)


class ToldStore(MemoryStore):
    """A memory store that can be out of reach, or be broken, for a number of calls."""

    def __init__(self) -> None:
        super().__init__(PoolSettings(), asyncio.get_running_loop().time)
        self.faults: list[Exception] = []
        self.heard = asyncio.Event()

    async def is_healthy(self) -> bool:
        return not self.faults

    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        if self.faults:
            raise self.faults.pop()
        await super().sync(index, handlers)
        self.heard.set()


async def names(store: ToldStore) -> set[str]:
    async with asyncio.timeout(5):
        await store.heard.wait()
    store.heard.clear()
    return {state.id for state in await store.states()}


def feed(store: ToldStore) -> HandlerFeed:
    return HandlerFeed(Allocator(store, PoolSettings(), TicketSecrets("s" * 32)))


async def test_what_the_registry_says_reaches_the_seats() -> None:
    store = ToldStore()
    async with feed(store) as running:
        running.publish(snapshot_of(1, "WSH1"))
        assert await names(store) == {"WSH1"}
        running.publish(snapshot_of(2, "WSH1", "WSH2"))
        running.publish(snapshot_of(3, "WSH2", "WSH3"))
        assert await names(store) == {"WSH2", "WSH3"}, "the newest is what counts"


async def test_a_store_that_was_out_of_reach_hears_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler_feed, "TRY_AGAIN_S", 0.0)
    store = ToldStore()
    store.faults = [StoreUnreachable(), StoreUnreachable()]
    with capture_logs() as logs:
        async with feed(store) as running:
            running.publish(snapshot_of(1, "WSH1"))
            assert await names(store) == {"WSH1"}
            running.publish(snapshot_of(2, "WSH2"))
            assert await names(store) == {"WSH2"}
    said = [entry["event"] for entry in logs if "synced" in entry["event"]]
    assert said == ["handlers_not_synced", "handlers_synced_again"]


async def test_a_bug_in_one_snapshot_does_not_end_the_feed() -> None:
    store = ToldStore()
    store.faults = [RuntimeError("a bug")]
    async with feed(store) as running:
        running.publish(snapshot_of(1, "WSH1"))
        await eventually(store.is_healthy)
        running.publish(snapshot_of(2, "WSH2"))
        assert await names(store) == {"WSH2"}
