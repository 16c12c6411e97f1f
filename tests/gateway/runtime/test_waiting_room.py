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
