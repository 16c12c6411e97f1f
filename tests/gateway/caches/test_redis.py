"""The Redis cache's own: gateways that share it, and Redis going away. What it shares with others is in
test_contract.py."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.caches.base import Cache
from gateway.caches.redis import MARK_S, RedisCache, open_cache
from handlers.stores.lua.script import open_redis
from tests.gateway.caches.answers import ANSWER, answer, keep, kept, key
from tests.gateway.runtime.gateways import WITHIN_S, eventually
from tests.servers import forget_all, hasty, own_redis, patient

MIB = 1 << 20
ANSWERS = b"quaymaster:q1:{cache}:answer:*"


@pytest.fixture
def url(redis_url: str) -> str:
    forget_all(redis_url)
    return patient(redis_url)


@pytest.fixture
async def server(url: str) -> AsyncIterator[Redis]:
    async with open_redis(url) as redis:
        yield redis


async def test_what_one_gateway_keeps_the_others_find(url: str) -> None:
    async with open_cache(url, MIB) as one, open_cache(url, MIB) as other:
        where, names = key(lang="de"), (b"lang",)
        assert await keep(one, where, names=names)
        assert await kept(other, where) == ANSWER
        await other.drop(where.uri)
        assert await kept(one, where) is None


async def test_a_drop_elsewhere_counts_for_what_is_under_way_here(url: str) -> None:
    async with open_cache(url, MIB) as one, open_cache(url, MIB) as other:
        where = key()
        before = await one.find(where)
        assert before is not None
        await other.drop(where.uri)
        assert not await one.keep(where, before, (), ANSWER, 60.0)


async def test_everything_runs_out_by_itself(url: str, server: Redis) -> None:
    async with open_cache(url, MIB) as cache:
        where = key()
        await keep(cache, where, keep_s=50.0)
        await cache.drop(key().uri)
        names = await server.keys("quaymaster:q1:{cache}:*")
        assert len(names) == await server.dbsize() == 3
        assert all([0 < await server.pttl(name) <= MARK_S * 1000 for name in names])


async def test_a_uri_that_is_asked_for_in_vain_leaves_nothing_behind(url: str, server: Redis) -> None:
    async with open_cache(url, MIB) as cache:
        assert await kept(cache, key()) is None
        assert await server.dbsize() == 0


async def test_bytes_of_somebody_else_are_no_answer(url: str, server: Redis) -> None:
    async with open_cache(url, MIB) as cache:
        where = key()
        await keep(cache, where)
        (name,) = await server.keys(ANSWERS)
        whole = await server.get(name)
        assert isinstance(whole, bytes)
        for garbage in (b"", b"x" * 10, b"x" * 1000, whole[:-1]):
            await server.set(name, garbage)
            assert await kept(cache, where) is None
        assert await keep(cache, where)


async def test_what_took_too_long_to_come_is_not_kept(url: str) -> None:
    now = 0.0
    async with open_cache(url, MIB) as opened:
        assert isinstance(opened, RedisCache)
        opened._clock = lambda: now
        where = key()
        found = await opened.find(where)
        assert found is not None
        now = MARK_S
        assert not await opened.keep(where, found, (), ANSWER, 60.0)


async def test_no_more_is_on_its_way_than_there_is_room_for(url: str) -> None:
    async with open_cache(url, MIB) as cache:
        places = [key() for _ in range(6)]
        done = await asyncio.gather(*(keep(cache, at, answer(b"x" * (MIB // 2))) for at in places))
        assert 1 <= sum(done) <= 5
        assert not await keep(cache, key(), answer(b"x" * (MIB + 1)))
        assert "0 bytes on their way" in repr(cache)


async def test_a_redis_that_is_away_costs_nothing_but_the_answers() -> None:
    where = key()
    with own_redis() as redis:
        async with open_cache(hasty(redis.url), MIB) as cache:
            assert await keep(cache, where)
            redis.pause()
            assert await cache.find(where) is None
            # If each of their batches waited for Redis again, they would take a minute.
            async with asyncio.timeout(WITHIN_S):
                assert await asyncio.gather(*(cache.find(key()) for _ in range(1000))) == [None] * 1000
                assert not await cache.drop(where.uri)
            redis.resume()
            await eventually(lambda: _is_back(cache))
            assert await kept(cache, where) == ANSWER
            redis.stop()
            assert await cache.find(where) is None
            redis.start()
            await eventually(lambda: _is_back(cache))
            assert await kept(cache, where) is None
            assert await keep(cache, where)


async def _is_back(cache: Cache) -> bool:
    return await cache.find(key()) is not None


async def test_a_redis_that_is_full_still_says_what_it_has() -> None:
    with own_redis() as redis:
        async with open_cache(patient(redis.url), MIB) as cache, open_redis(patient(redis.url)) as server:
            where = key()
            assert await keep(cache, where)
            await server.config_set("maxmemory", "1")
            assert not await keep(cache, key())
            found = await asyncio.gather(*(kept(cache, where) for _ in range(20)), keep(cache, key()))
            assert found == [*[ANSWER] * 20, False]
            assert await cache.drop(where.uri)
            assert await kept(cache, where) is None


async def test_it_opens_while_redis_is_away() -> None:
    async with open_cache("redis://127.0.0.1:1/0", MIB) as cache:
        assert await cache.find(key()) is None
