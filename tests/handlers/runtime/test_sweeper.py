import asyncio
import random

import pytest
from structlog.testing import capture_logs

from handlers.model import HandlerId, Hello, PoolSettings
from handlers.runtime.allocator import Allocator
from handlers.runtime.sweeper import Sweeper
from handlers.stores.base import StoreUnreachable
from handlers.stores.memory import MemoryStore
from handlers.ticket import TicketSecrets

SECRETS = TicketSecrets("a secret of the test's own cluster")


class FailsAtFirst(MemoryStore):
    """A store that can't be reached at the first three sweeps, and can at the fourth."""

    swept: int = 0

    async def sweep(self) -> int:
        self.swept += 1
        if self.swept <= 3:
            raise StoreUnreachable
        return await super().sweep()


TICKET = "a ticket that must not be logged"


class HasABug(MemoryStore):
    """A store that fails with a ticket in its hands."""

    async def sweep(self) -> int:
        ticket = TICKET
        raise KeyError(len(ticket))


async def test_its_death_is_logged_without_what_it_had_in_hands(
    rng: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = PoolSettings()
    allocator = Allocator(HasABug(pool, lambda: 0.0), pool, SECRETS, rng=rng)
    logged = ""
    async with asyncio.timeout(5), Sweeper(allocator, period_s=0.005):
        while "task_died" not in logged:
            await asyncio.sleep(0.005)
            logged += capsys.readouterr().out
    assert "KeyError" in logged
    assert TICKET not in logged


class HasABugAtFirst(MemoryStore):
    """A store that fails at the first two sweeps as no store may."""

    swept: int = 0

    async def sweep(self) -> int:
        self.swept += 1
        if self.swept <= 2:
            raise KeyError(self.swept)
        return await super().sweep()


async def test_it_sweeps_on_after_a_bug(rng: random.Random) -> None:
    pool = PoolSettings()
    store = HasABugAtFirst(pool, lambda: 0.0)
    allocator = Allocator(store, pool, SECRETS, rng=rng)
    with capture_logs() as logs:
        async with asyncio.timeout(5), Sweeper(allocator, period_s=0.005):
            while store.swept < 5:  # noqa: ASYNC110 the sweeper has no event to wait for
                await asyncio.sleep(0.005)
    assert [entry["event"] for entry in logs] == ["task_died"] * 2


async def test_it_sweeps_on_while_the_store_comes_and_goes(rng: random.Random) -> None:
    now = 0.0
    pool = PoolSettings()
    store = FailsAtFirst(pool, lambda: now)
    allocator = Allocator(store, pool, SECRETS, rng=rng)
    await allocator.hello(Hello(HandlerId("WSH1"), 1, "http://h:1", "/ws", 2))
    await allocator.allocate("ann")
    now = 15.0
    with capture_logs() as logs:
        async with asyncio.timeout(5), Sweeper(allocator, period_s=0.005, probe_s=0.005):
            while store.swept < 6:  # noqa: ASYNC110 the sweeper has no event to wait for
                await asyncio.sleep(0.005)
    said = [(entry["event"], entry.get("skipped")) for entry in logs if "sweep" in entry["event"]]
    assert said == [("sweep_skipped", None), ("sweeps_again", 3)]
    assert "0 seats" not in repr(store)  # its ticket still lasts
    assert "0 held" in repr(store)
