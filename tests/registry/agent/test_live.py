import asyncio
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from registry.agent.catalog import Catalog
from registry.agent.checks import Prober
from registry.agent.definitions import CheckDefinition, RegisterBody, ServiceDefinition
from registry.agent.index import service_topic
from registry.agent.journal import Journal, JournalError
from registry.agent.live import LiveCatalog
from registry.agent.records import Refused
from registry.agent.waiting import Waiting
from tests.registry.waiting import until

WEB = ServiceDefinition("web-1", "web", 80)


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Opened:
    def __init__(self, live: LiveCatalog, waiting: Waiting, prober: Prober, clock: Clock) -> None:
        self.live, self.waiting, self.prober, self.clock = live, waiting, prober, clock

    def status(self, id: str = "c") -> str:
        check = self.live.catalog.check(id)
        assert check is not None
        return check.status


@asynccontextmanager
async def opened(journal: Journal | None = None) -> AsyncIterator[Opened]:
    clock, catalog = Clock(), Catalog(min_deregister_s=0.0)
    waiting = Waiting(catalog.index_of, 10)
    async with asyncio.TaskGroup() as group:
        prober = Prober(group, lambda *_: None, min_interval_s=1.0, at_once=1, rng=Random(1))
        async with prober:
            live = LiveCatalog(catalog, prober, waiting, journal, clock)
            time = group.create_task(live.keep_time())
            yield Opened(live, waiting, prober, clock)
            time.cancel()


def ttl(**fields: float | str) -> CheckDefinition:
    return CheckDefinition("c", "c", "ttl", "web-1", **{"ttl_s": 0.02, "status": "passing", **fields})  # type: ignore[arg-type] # the fields of a test


async def test_a_change_wakes_who_waits_for_it() -> None:
    async with opened() as agent, asyncio.TaskGroup() as group:
        index = agent.live.catalog.index_of(service_topic("web"))
        waiter = group.create_task(agent.waiting.until_above(service_topic("web"), index, 60))
        await until(lambda: len(agent.waiting) == 1)
        await agent.live.register(RegisterBody(WEB, ()))
        await waiter


async def test_a_ttl_ends_by_itself() -> None:
    async with opened() as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(),)))
        assert agent.status() == "passing"
        agent.clock.now += 0.02
        await until(lambda: agent.status() == "critical")


async def test_a_service_critical_for_too_long_goes_from_the_journal_too(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    async with opened(journal) as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(status="critical", deregister_after_s=0.02),)))
        agent.clock.now += 0.02
        await until(lambda: agent.live.catalog.services() == [])
    await journal.close()
    journal = await Journal.open(str(tmp_path))
    await journal.close()
    assert journal.saved.services == ()


async def test_a_disk_that_hangs_keeps_no_ttl_from_ending(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    disk_is_ready = threading.Event()
    async with opened(journal) as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(status="critical", deregister_after_s=0.02),)))
        await agent.live.add_check(CheckDefinition("later", "later", "ttl", ttl_s=0.15, status="passing"))
        journal._thread.submit(disk_is_ready.wait, 10)
        agent.clock.now += 0.1
        await until(lambda: agent.live.catalog.services() == [])
        agent.clock.now += 0.1
        await until(lambda: agent.status("later") == "critical")
        assert not disk_is_ready.is_set()
        disk_is_ready.set()
    await journal.close()


async def test_a_process_that_could_not_run_does_not_blame_the_services() -> None:
    async with opened() as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(),)))
        agent.clock.now += 30.0  # far beyond the TTL: nobody could be heard
        await until(lambda: agent.live.catalog.soonest > agent.clock.now)
        assert agent.status() == "passing"
        agent.clock.now = agent.live.catalog.soonest
        await until(lambda: agent.status() == "critical")


async def test_an_earlier_end_is_noticed_while_a_later_one_is_awaited() -> None:
    async with opened() as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(ttl_s=1000.0),)))
        await until(lambda: agent.live._planned == 1100.0)
        await agent.live.add_check(CheckDefinition("soon", "soon", "ttl", ttl_s=0.01, status="passing"))
        agent.clock.now += 0.01
        await until(lambda: agent.status("soon") == "critical")
        assert agent.status() == "passing"


async def test_probes_follow_the_registrations() -> None:
    async with opened() as agent:
        check = CheckDefinition("c", "c", "tcp", "web-1", target="127.0.0.1:1", interval_s=60)
        await agent.live.register(RegisterBody(WEB, (check,)))
        assert repr(agent.prober) == "<Prober: 1 checks>"
        await agent.live.deregister("web-1")
        assert repr(agent.prober) == "<Prober: 0 checks>"


async def test_what_the_journal_kept_is_looked_after_again(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    probed = CheckDefinition("p", "p", "tcp", "web-1", target="127.0.0.1:1", interval_s=60, status="passing")
    async with opened(journal) as agent:
        await agent.live.register(RegisterBody(WEB, (ttl(), probed)))
        await agent.live.maintenance("web-1", enable=True, reason="upgrade")
        agent.live.feed("c", "critical", "")
    await journal.close()
    journal = await Journal.open(str(tmp_path))
    async with opened(journal) as agent:
        agent.live.restore()
        assert agent.live.catalog.services()[0].definition == WEB
        assert (agent.status(), agent.status("p")) == ("passing", "passing")
        assert agent.status("_service_maintenance:web-1") == "critical"
        assert agent.live.catalog.soonest < math.inf
        assert repr(agent.prober) == "<Prober: 1 checks>"
    await journal.close()


async def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    async with opened() as agent:
        assert await agent.live.add_check(ttl()) == Refused("unknown_service", "web-1")
        assert agent.live.feed("c", "passing", "") == Refused("not_a_ttl_check", "c")


async def test_a_journal_that_cannot_be_written_is_told_to_who_asked(tmp_path: Path) -> None:
    journal = await Journal.open(str(tmp_path))
    await journal._run(journal._db.execute, "DROP TABLE service")  # type: ignore[union-attr] # it is open
    async with opened(journal) as agent:
        with pytest.raises(JournalError, match="not written: no such table"):
            await agent.live.register(RegisterBody(WEB, ()))
        assert len(agent.live.catalog.services()) == 1
    await journal.close()
