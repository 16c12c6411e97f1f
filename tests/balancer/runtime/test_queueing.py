import asyncio

import pytest

from balancer.concurrency import ConcurrencyLedger
from balancer.policy import ConcurrencyPolicy
from balancer.runtime.queueing import Turn, place_in, room_at_an_instance
from tests.balancer.origins import instance_at, until

A = instance_at(1001, "a")


def taken(queue: int = 100) -> ConcurrencyLedger:
    """One place, and somebody has it."""
    places = ConcurrencyLedger(ConcurrencyPolicy(service=1, queue=queue))
    assert places.enter()
    return places


async def test_who_waits_is_woken_in_the_order_of_coming() -> None:
    places, order = taken(), list[int]()

    async def comes(n: int) -> None:
        assert await place_in(places, 60)
        order.append(n)
        places.leave()

    async with asyncio.TaskGroup() as group:
        for n in range(10):
            group.create_task(comes(n))
        await until(lambda: places.waiting == 10)
        places.leave()
    assert order == list(range(10))
    assert (places.under_way, places.waiting) == (0, 0)


async def test_a_full_line_and_a_slow_one_say_no() -> None:
    places = taken(queue=1)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(place_in(places, 0.02))
        await until(lambda: places.waiting == 1)
        assert not await place_in(places, 60)
    assert not slow.result()
    assert (places.under_way, places.waiting) == (1, 0)


async def test_who_is_cancelled_in_line_frees_its_place_in_it() -> None:
    places = taken()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(place_in(places, 60))
        second = group.create_task(place_in(places, 60))
        await until(lambda: places.waiting == 2)
        first.cancel()
        await until(first.done)
        places.leave()
    assert first.cancelled()
    assert second.result()
    assert (places.under_way, places.waiting) == (1, 0)


async def test_who_is_cancelled_in_the_turn_in_which_it_is_served_passes_it_on() -> None:
    places = taken()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(place_in(places, 60))
        second = group.create_task(place_in(places, 60))
        await until(lambda: places.waiting == 2)
        places.leave()
        first.cancel()
    assert first.cancelled()
    assert second.result()
    assert (places.under_way, places.waiting) == (1, 0)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_waiting_for_an_instance(cancelled: bool) -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1))
    places.started(A)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(room_at_an_instance(places, 60, first=False)) for _ in range(2)]
        await until(lambda: places.waiting == 2)
        places.finished(A)
        if cancelled:
            waiting[0].cancel()
            assert (await asyncio.wait(waiting[1:]))[0]
        else:
            await waiting[0]
        assert waiting[1].done() is cancelled
        turn = waiting[1 if cancelled else 0].result()
        assert turn is not None
        places.looked(turn, again=not cancelled)
        waiting[1].cancel()
    assert places.waiting == 0


async def test_patience_for_an_instance_ends() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1, queue=1))
    places.started(A)
    assert not await room_at_an_instance(places, 0.01, first=False)
    assert not await room_at_an_instance(places, 0.0, first=False)
    assert places.waiting == 0


async def test_waking_twice_is_waking_once() -> None:
    turn = Turn()
    turn.wake()
    turn.wake()
    await turn.come(60)
