"""The memory's own: its bounds. What it shares with others is in test_contract.py."""

import tracemalloc

from gateway.caches import memory
from gateway.caches.memory import MemoryCache, open_cache, size_of
from tests.gateway.caches.answers import answer, keep, kept, key

MIB = 1 << 20
ENTRY = size_of(answer())


async def test_those_that_were_not_used_for_longest_make_room() -> None:
    cache = MemoryCache(3 * ENTRY)
    one, two, three, four = (key() for _ in range(4))
    for where in (one, two, three):
        assert await keep(cache, where)
    assert await kept(cache, one) is not None
    assert await keep(cache, four)
    assert [await kept(cache, where) is not None for where in (one, two, three, four)] == [
        True,
        False,
        True,
        True,
    ]
    assert cache.bytes == 3 * ENTRY


async def test_what_is_longer_than_all_the_room_is_not_kept() -> None:
    cache = MemoryCache(3 * ENTRY)
    where = key()
    assert await keep(cache, where)
    assert not await keep(cache, key(), answer(b"x" * 3 * ENTRY))
    assert await kept(cache, where) is not None, "and costs nobody else anything"


async def test_headers_and_keys_count() -> None:
    assert size_of(answer(b"")) > 1000
    one, more = answer(headers=((b"X", b""),)), answer(headers=((b"X", b"y" * 5000),))
    assert size_of(more) == size_of(one) + 5000


async def test_time_is_the_clocks() -> None:
    now = 0.0
    cache = MemoryCache(10 * ENTRY, clock=lambda: now)
    where = key()
    assert await keep(cache, where, keep_s=10.0)
    now = 9.9
    assert await kept(cache, where) is not None
    now = 10.0
    assert await kept(cache, where) is None
    assert (len(cache), cache.bytes) == (0, 0)


async def test_those_whose_time_is_over_go_though_nobody_asks_for_them() -> None:
    now = 0.0
    cache = MemoryCache(100 * ENTRY, clock=lambda: now)
    for _ in range(20):
        await keep(cache, key(), keep_s=1.0)
    now = 2.0
    for _ in range(5):
        await keep(cache, key())
    assert len(cache) == 5
    assert cache.bytes == 5 * ENTRY
    assert "5 answers" in repr(cache)


async def test_a_drop_that_is_forgotten_still_holds() -> None:
    cache = MemoryCache(100 * ENTRY)
    where = key()
    before = await cache.find(where)
    assert before is not None
    await cache.drop(where.uri)
    for _ in range(memory.MOST_DROPS):
        await cache.drop(key().uri)
    assert not await cache.keep(where, before, (), answer(), 60.0)


async def test_the_bound_is_what_python_really_takes() -> None:
    cache = MemoryCache(2 * MIB)
    tracemalloc.start()
    try:
        for n in range(1200):
            headers = tuple((b"X-Header-%d" % i, b"value %d of %d" % (i, n)) for i in range(8))
            where = key(b"%032d" % n, lang="de")
            await keep(cache, where, answer(b"%d" % n * 50, headers=headers), (b"lang",))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(cache) < 1000, "so that there was no more room"
    assert taken < 1.3 * 2 * MIB


async def test_each_one_opened_starts_empty() -> None:
    where = key()
    for _ in range(2):
        async with open_cache("", 10 * ENTRY) as cache:
            assert await kept(cache, where) is None
            assert await keep(cache, where)
