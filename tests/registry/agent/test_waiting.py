import asyncio

import pytest

from registry.agent.index import Indexes, service_topic
from registry.agent.waiting import TooManyWaiting, Waiting

WEB, OTHER = service_topic("web"), service_topic("other")


def started(limit: int = 10) -> tuple[Indexes, Waiting]:
    indexes = Indexes()
    indexes.instance_changed("web")
    indexes.instance_changed("other")
    return indexes, Waiting(indexes.of, limit)


async def asleep(waiting: Waiting, count: int) -> None:
    async with asyncio.timeout(5):
        while len(waiting) != count:  # noqa: ASYNC110 a waiter sets no event when it falls asleep
            await asyncio.sleep(0)


async def test_an_old_index_does_not_wait() -> None:
    indexes, waiting = started()
    async with asyncio.timeout(1):
        await waiting.until_above(WEB, indexes.of(WEB) - 1, 60)


async def test_only_the_waiters_of_what_changed_wake() -> None:
    indexes, waiting = started()
    async with asyncio.TaskGroup() as group:
        web = group.create_task(waiting.until_above(WEB, indexes.of(WEB), 60))
        other = group.create_task(waiting.until_above(OTHER, indexes.of(OTHER), 60))
        await asleep(waiting, 2)
        indexes.check_changed("web")
        waiting.notify()
        await web
        assert not other.done()
        assert len(waiting) == 1
        waiting.close()
    assert len(waiting) == 0


async def test_an_index_from_the_future_waits_until_it_is_passed() -> None:
    indexes, waiting = started()
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(waiting.until_above(WEB, indexes.current + 1, 60))
        await asleep(waiting, 1)
        while not waiter.done():
            indexes.check_changed("web")
            waiting.notify()
            await asyncio.sleep(0)
    assert indexes.of(WEB) == 5


async def test_patience_ends() -> None:
    indexes, waiting = started()
    await waiting.until_above(WEB, indexes.of(WEB), 0.001)
    assert len(waiting) == 0


async def test_a_cancelled_waiter_leaves_its_place() -> None:
    indexes, waiting = started(limit=1)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(waiting.until_above(WEB, indexes.of(WEB), 60))
        await asleep(waiting, 1)
        with pytest.raises(TooManyWaiting):
            await waiting.until_above(OTHER, indexes.of(OTHER), 60)
        waiter.cancel()
    assert repr(waiting) == "<Waiting: 0 of 1>"


async def test_nobody_waits_at_a_closed_agent() -> None:
    indexes, waiting = started()
    waiting.close()
    async with asyncio.timeout(1):
        await waiting.until_above(WEB, indexes.of(WEB), 60)
