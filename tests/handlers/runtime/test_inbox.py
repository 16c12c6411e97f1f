import asyncio

import pytest

from handlers.runtime.inbox import Inbox


async def test_a_full_inbox_lets_the_sender_wait_until_something_is_read() -> None:
    inbox: Inbox[int] = Inbox(2)
    await inbox.put(1)
    await inbox.put(2)
    async with asyncio.TaskGroup() as group:
        third = group.create_task(inbox.put(3))
        await asyncio.sleep(0)
        assert not third.done()
        assert await inbox.get() == 1
    assert [await inbox.get(), await inbox.get()] == [2, 3]


async def test_the_end_comes_after_what_was_put_and_for_every_reader() -> None:
    inbox: Inbox[int] = Inbox(1)
    await inbox.put(1)
    inbox.end()
    await inbox.put(2)
    assert await inbox.get() == 1
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await inbox.get()


async def test_the_end_frees_who_waits_on_either_side() -> None:
    full, empty = Inbox[int](1), Inbox[int](1)
    await full.put(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(full.put(2))
        reader = group.create_task(ended(empty))
        await asyncio.sleep(0)
        full.end()
        empty.end()
    assert reader.result()


async def ended(inbox: Inbox[int]) -> bool:
    try:
        await inbox.get()
    except StopAsyncIteration:
        return True
    return False


def test_an_inbox_needs_room() -> None:
    with pytest.raises(ValueError, match="queue is 0"):
        Inbox[int](0)
