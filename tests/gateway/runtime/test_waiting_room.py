import asyncio

import pytest

from gateway.runtime.waiting_room import WaitingRoom


def test_there_are_so_many_places() -> None:
    room = WaitingRoom(1)
    with room.place() as first, room.place() as second:
        assert (first, second, len(room)) == (True, False, 1)
    with room.place() as again:
        assert again
    assert len(room) == 0


def test_a_place_is_free_again_whatever_happens() -> None:
    room = WaitingRoom(1)
    with pytest.raises(RuntimeError), room.place():
        raise RuntimeError
    assert len(room) == 0


async def test_a_pause_ends_when_its_time_is_over() -> None:
    assert await WaitingRoom(1).pause(0.001)
    assert await WaitingRoom(1).pause(0)


async def test_a_pause_ends_when_all_are_let_go() -> None:
    room = WaitingRoom(1)
    async with asyncio.TaskGroup() as group:
        pause = group.create_task(room.pause(3600))
        await asyncio.sleep(0)
        room.close()
        assert not await pause
    with room.place() as taken:
        assert not taken
    assert not await room.pause(3600)


async def news(text: str, told: asyncio.Event) -> str:
    await told.wait()
    return text


async def test_who_is_held_gets_the_news() -> None:
    room, told = WaitingRoom(1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        held = group.create_task(room.hold(news("here", told)))
        await asyncio.sleep(0)
        told.set()
        assert await held == "here"


async def test_all_that_are_held_are_let_go_once_and_for_all() -> None:
    room, never = WaitingRoom(9), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(room.hold(news("never", never))) for _ in range(3)]
        await asyncio.sleep(0)
        room.close()
        room.close()
        assert [await one for one in held] == [None, None, None]
    assert await room.hold(news("never", never)) is None


async def test_a_time_out_of_the_news_is_no_end_of_waiting() -> None:
    async def late() -> str:
        raise TimeoutError("the news are late")

    with pytest.raises(TimeoutError, match="late"):
        await WaitingRoom(1).hold(late())


async def test_who_is_cancelled_while_held_leaves_nothing() -> None:
    room, never = WaitingRoom(1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        held = group.create_task(room.hold(news("never", never)))
        await asyncio.sleep(0)
        held.cancel()
    assert held.cancelled()
    room.close()
