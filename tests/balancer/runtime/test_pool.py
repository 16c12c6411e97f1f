"""Who has a connection, who waits: what must hold after any order of events."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.model import PoolLimits
from balancer.runtime.connection import READ_SIZE, Connection
from balancer.runtime.pool import InstancePool, Saturated
from tests.balancer import origins
from tests.balancer.origins import until


@asynccontextmanager
async def pooled(limits: PoolLimits) -> AsyncIterator[tuple[InstancePool, origins.Origin]]:
    async with origins.origin(origins.never_answers) as there:
        buffer = memoryview(bytearray(READ_SIZE))
        pool = InstancePool(there.instance, limits, buffer, ssl.create_default_context)
        try:
            yield pool, there
        finally:
            pool.close()
            await until(lambda: pool.open == 0)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_the_connection_used_last_is_used_next() -> None:
    async with pooled(PoolLimits()) as (pool, _):
        first, second = await pool.connect(soon()), await pool.connect(soon())
        pool.give_back(first)
        pool.give_back(second)
        assert repr(pool) == "<InstancePool a: 0 in use, 2 idle, 0 waiting>"
        assert [pool.take(0), pool.take(0), pool.take(0)] == [second, first, None]
        assert repr(pool) == "<InstancePool a: 2 in use, 0 idle, 0 waiting>"


async def test_what_was_idle_for_too_long_is_not_used() -> None:
    async with pooled(PoolLimits(idle_s=15)) as (pool, _):
        old = await pool.connect(soon())
        old.idle_since = 100
        pool.give_back(old)
        assert pool.take(115) is None
        await until(lambda: pool.open == 0)


async def test_more_than_max_idle_are_not_kept() -> None:
    async with pooled(PoolLimits(max_idle=1)) as (pool, _):
        first, second = await pool.connect(soon()), await pool.connect(soon())
        pool.give_back(first)
        pool.give_back(second)
        await until(lambda: pool.open == 1)
        assert pool.take(0) is second


async def test_a_returned_connection_goes_to_who_waits_longest() -> None:
    async with pooled(PoolLimits(max_connections=1)) as (pool, _), asyncio.TaskGroup() as group:
        only = await pool.connect(soon())
        waits = [group.create_task(pool.connect(soon())) for _ in range(2)]
        await asyncio.sleep(0)
        assert repr(pool) == "<InstancePool a: 1 in use, 0 idle, 2 waiting>"
        pool.give_back(only)
        assert await waits[0] is only
        pool.give_back(only)
        assert await waits[1] is only


async def test_nobody_waits_for_longer_than_they_said() -> None:
    async with pooled(PoolLimits(max_connections=1)) as (pool, _):
        await pool.connect(soon())
        with pytest.raises(Saturated):
            await pool.connect(asyncio.get_running_loop().time() + 0.02)
        assert pool.waiting == 0


async def test_a_connection_that_cannot_be_made_takes_no_place() -> None:
    async with origins.refuses() as instance:
        pool = InstancePool(instance, PoolLimits(max_connections=1), memoryview(bytearray(1)), _no_tls)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await pool.connect(soon())
        assert pool.open == 0


def _no_tls() -> ssl.SSLContext:
    raise AssertionError("a plain instance needs no TLS")


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["connect", "connect", "give back", "drop", "give up", "turn"]), st.integers(0, 9)
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(moves=MOVES, limits=st.builds(PoolLimits, st.integers(1, 3), st.integers(0, 3), st.integers(0, 2)))
def test_places_are_never_lost_nor_exceeded(moves: list[tuple[str, int]], limits: PoolLimits) -> None:
    async def drive() -> None:
        async with pooled(limits) as (pool, _):
            tasks: list[asyncio.Task[Connection]] = []
            for move, which in moves:
                held = [task.result() for task in tasks if _has(task)]
                if move == "connect":
                    tasks.append(asyncio.get_running_loop().create_task(pool.connect(soon())))
                elif move == "turn":
                    await asyncio.sleep(0.001)
                elif move == "give up" and tasks:
                    tasks[which % len(tasks)].cancel()
                elif held and move in ("give back", "drop"):
                    connection = held[which % len(held)]
                    tasks = [task for task in tasks if not (_has(task) and task.result() is connection)]
                    if move == "drop":
                        connection.abort()
                    else:
                        pool.give_back(connection)
                assert pool.open <= limits.max_connections
                assert pool.waiting <= limits.max_waiting
                assert pool.idle <= limits.max_idle
            await asyncio.sleep(0)
            for task in tasks:
                if _has(task):
                    pool.give_back(task.result())
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, Connection):
                    pool.give_back(end)
            await until(lambda: pool.open == pool.idle)

    asyncio.run(drive())


def _has(task: "asyncio.Task[Connection]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
