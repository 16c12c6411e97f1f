"""The Redis denylist's own: gateways that share it, and Redis going away. What it shares with others is in
test_contract.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.denylists import redis as redis_denylist
from gateway.denylists.redis import FRESH_S, RedisDenylist, open_denylist
from gateway.settings_identity import RevocationSettings
from handlers.stores.lua.script import LuaScript, open_redis, read_script
from registry.runtime.clock import unix_now
from tests.balancer.origins import until
from tests.servers import forget_all, hasty, own_redis, patient

REVOKED = read_script(Path(redis_denylist.__file__).parent / "lua", "revoked")
QUICK = RevocationSettings(refresh_s=0.05)


@pytest.fixture
def url(redis_url: str) -> str:
    forget_all(redis_url)
    return patient(redis_url)


@asynccontextmanager
async def still(url: str, max_tokens: int = 10_000) -> AsyncIterator[RedisDenylist]:
    """One that refreshes only when it is told to."""
    async with open_redis(url) as redis:
        denylist = RedisDenylist(LuaScript(redis, REVOKED), RevocationSettings(max_tokens=max_tokens))
        try:
            await denylist.refresh()
            yield denylist
        finally:
            await denylist.close()


async def test_every_gateway_learns_of_it_by_itself(url: str) -> None:
    async with open_denylist(url, QUICK) as one, open_denylist(url, QUICK) as other:
        assert await one.add("a", unix_now() + 60)
        await until(lambda: other.holds("a"))


async def test_one_that_starts_later_knows_it_from_the_first(url: str) -> None:
    async with still(url) as one:
        for n in range(2500):
            one._untold.add(f"t{n}", unix_now() + 60, unix_now())
        await one.refresh()
        assert not len(one._untold)
    async with still(url) as late:
        assert all(late.holds(f"t{n}") for n in range(2500)), "page by page"


async def test_only_what_is_new_is_read(url: str) -> None:
    async with still(url) as one, still(url) as other:
        await one.add("a", unix_now() + 60)
        await other.refresh()
        since = other._since
        await other.refresh()
        assert other._since == since == "1"
        await one.add("a", unix_now() + 50)
        await other.refresh()
        assert other._since == "1", "nothing new: it expires sooner than is known"
        await one.add("a", unix_now() + 90)
        await other.refresh()
        assert other._since == "2"


async def test_the_bound_holds_in_redis_too(url: str) -> None:
    async with still(url, max_tokens=3) as one, open_redis(url) as redis:
        for n in range(6):
            await one.add(f"t{n}", unix_now() + 60 + n)
        for key in redis_denylist.KEYS[:2]:
            assert await redis.zrange(key, 0, -1) == [b"t3", b"t4", b"t5"]
        assert 60 < await redis.ttl(redis_denylist.KEYS[0]) < 90_000, "nothing stays for good"


async def test_what_has_expired_leaves_redis(url: str) -> None:
    async with still(url) as one, open_redis(url) as redis:
        await one.add("a", unix_now() + 60)
        await redis.zadd(redis_denylist.KEYS[0], {"a": unix_now() - 1})
        await one.refresh()
        assert await redis.zcard(redis_denylist.KEYS[0]) == await redis.zcard(redis_denylist.KEYS[1]) == 0


async def test_a_redis_that_has_forgotten_everything_is_told_again(url: str) -> None:
    async with still(url) as one, still(url) as other:
        await one.add("a", unix_now() + 60)
        await other.add("b", unix_now() + 60)
        forget_all(url.partition("?")[0])
        await one.refresh()
        async with still(url) as late:
            assert (late.holds("a"), late.holds("b")) == (True, False)
            await other.refresh()
            await late.refresh()
            assert late.holds("b")
        assert one.holds("a")
        assert other.holds("a")


async def test_a_redis_that_has_forgotten_the_latest_is_told_again(url: str) -> None:
    async with still(url) as one, open_redis(url) as redis:
        for name in ("a", "b", "c"):
            await one.add(name, unix_now() + 60)
        # As a replica that took over, or a file that was written a second ago.
        for key in redis_denylist.KEYS[:2]:
            await redis.zrem(key, "b", "c")
        await redis.hset(redis_denylist.KEYS[2], "number", "1")
        async with still(url) as other:
            assert other.holds("a")
            await other.add("d", unix_now() + 60)
            await one.refresh()
            assert one.holds("d")
            await other.refresh()
            assert other.holds("b")
            assert other.holds("c")


async def test_while_redis_is_away_it_is_known_here_and_told_later() -> None:
    with own_redis() as server:
        async with still(hasty(server.url)) as one:
            server.pause()
            assert not await one.add("a", unix_now() + 60)
            assert one.holds("a")
            server.resume()
            await until(lambda: not one._script._away)
            await one.refresh()
            async with still(patient(server.url)) as other:
                assert other.holds("a")


async def test_one_that_hears_nothing_is_not_healthy() -> None:
    now = 0.0
    with own_redis() as server:
        async with open_redis(hasty(server.url)) as redis:
            denylist = RedisDenylist(LuaScript(redis, REVOKED), RevocationSettings(), clock=lambda: now)
            seen = [denylist.healthy]
            await denylist.refresh()
            seen.append(denylist.healthy)
            server.stop()
            now = FRESH_S
            await denylist.refresh()
            seen.append(denylist.healthy)
            now = FRESH_S + 0.1
            seen.append(denylist.healthy)
            server.start()
            await until(lambda: not denylist._script._away)
            await denylist.refresh()
            seen.append(denylist.healthy)
            assert seen == [False, True, True, False, True], (
                "nothing read, read, not old yet, old, read again"
            )
            await denylist.close()


async def test_it_opens_while_redis_is_away() -> None:
    async with open_denylist("redis://127.0.0.1:9/0", QUICK) as denylist:
        assert not denylist.healthy
        assert not denylist.holds("a")
