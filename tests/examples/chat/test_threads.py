import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from examples.chat.threads import Busy, Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads("test", 1, 2)
    yield threads
    await threads.close()


async def test_work_runs_in_another_thread_and_errors_come_back(threads: Threads) -> None:
    assert await threads.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)


async def test_more_than_the_queue_holds_is_refused_until_there_is_room(threads: Threads) -> None:
    go_on = threading.Event()
    held = [asyncio.ensure_future(threads.run(go_on.wait)) for _ in range(2)]  # noqa: TID251 - owned here
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await threads.run(int)
    go_on.set()
    await asyncio.gather(*held)
    assert await threads.run(int) == 0


async def test_a_caller_that_gave_up_still_counts_until_its_work_ends(threads: Threads) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(threads.run(work))
        second = group.create_task(threads.run(work))
        await asyncio.to_thread(begun.wait)
        first.cancel()
        await asyncio.wait([first])
        with pytest.raises(Busy):
            await threads.run(int)
        go_on.set()
        await second
