"""The Redis limiter's own: gateways that share it, and Redis going away. What it shares with others is in
test_contract.py."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.limiters import redis as redis_limiter
from gateway.limiters.base import Limiter, Rule
from gateway.limiters.redis import RedisLimiter, open_limiter
from gateway.windows import SlidingWindows
from handlers.stores.lua.script import TRY_AGAIN_S, LuaScript, open_redis, read_script
from registry.runtime.batches import Unanswered
from tests.servers import forget_all, hasty, own_redis, patient

WINDOWS = read_script(Path(redis_limiter.__file__).parent / "lua", "windows")


@pytest.fixture
def url(redis_url: str) -> str:
    forget_all(redis_url)
    return patient(redis_url)


@pytest.fixture
async def server(url: str) -> AsyncIterator[Redis]:
    async with open_redis(url) as redis:
        yield redis


async def allowed(limiter: Limiter, *rules: Rule) -> bool:
    verdict = await limiter.hit(rules)
    assert verdict is not None
    return verdict.allowed


async def test_it_says_what_the_windows_in_memory_say(server: Redis, rng: random.Random) -> None:
    """Every number of every verdict, through a long day of random requests."""
    now = 1_700_000_000.0
    windows = SlidingWindows()
    script = LuaScript(server, WINDOWS)
    limiter = RedisLimiter(script, clock=lambda: now, remembers=0)
    for _ in range(400):
        now += rng.choice((0.0, 0.001, 0.5, 3.0, 9.0, 31.0))
        asked = []
        for _ in range(rng.choice((1, 1, 4))):
            names = rng.sample("abc", rng.choice((1, 1, 2)))
            asked.append([Rule(name, rng.choice((0, 1, 3, 8)), rng.choice((10.0, 60.0))) for name in names])
        wanted = [windows.hit(rules, now) for rules in asked]
        got = await asyncio.gather(*map(limiter.hit, asked))
        for verdict, like in zip(got, wanted, strict=True):
            assert verdict is not None
            assert like is not None
            assert verdict[:3] == like[:3]
            assert verdict[3:5] == pytest.approx(like[3:5], abs=1e-5)
            assert not verdict.degraded
    await limiter.close()


async def test_a_limit_holds_for_all_gateways_together(url: str) -> None:
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(open_limiter(url)) for _ in range(3)]
        rule = Rule("ann", 50, 60.0)
        passed = await asyncio.gather(*(allowed(gateways[n % 3], rule) for n in range(200)))
        assert sum(passed) == 50
        assert not await allowed(gateways[0], rule)
        assert await allowed(gateways[0], Rule("bob", 50, 60.0))
        assert repr(gateways[0]).startswith("<RedisLimiter: 3 gateways")


async def test_every_key_is_in_one_slot_and_gone_after_its_window(url: str, server: Redis) -> None:
    async with open_limiter(url) as limiter:
        for _ in range(2):
            await allowed(limiter, Rule("ann", 5, 60.0), Rule("odd \udcff", 5, 10.0))
        keys = [key.decode() if isinstance(key, bytes) else key for key in await server.keys("*")]
        assert len(keys) == 3
        assert all("{limits}" in key for key in keys)
        assert all([0 < await server.pttl(key) <= 61_000 for key in keys])


async def test_without_redis_each_gateway_allows_its_share_and_the_limit_is_shared_again_after(
    url: str,
) -> None:
    with own_redis() as server:
        async with open_limiter(patient(server.url)) as one, open_limiter(patient(server.url)) as other:
            before = Rule("before", 5, 60.0)
            assert await allowed(one, before)
            assert await allowed(other, before)
            assert await allowed(one, before)
            server.stop()
            rule = Rule("ann", 5, 60.0)
            assert [await allowed(one, rule) for _ in range(5)] == [True, True, True, False, False]
            assert (verdict := await one.hit([rule])) is not None
            assert (verdict.degraded, verdict.rule.limit) == (True, 3)
            assert not await allowed(one, Rule("nobody", 0, 60.0))
            server.start()
            deadline = asyncio.get_running_loop().time() + 20
            while not await allowed(one, rule):
                assert asyncio.get_running_loop().time() < deadline, "it never counted in Redis again"
                await asyncio.sleep(0.02)


async def test_who_was_refused_costs_redis_nothing(url: str, server: Redis) -> None:
    async def calls() -> int:
        found = (await server.info("commandstats")).get("cmdstat_evalsha", {})
        return int(found.get("calls", 0))

    async with open_limiter(url) as limiter:
        rule = Rule("ann", 2, 60.0)
        assert [await allowed(limiter, rule) for _ in range(3)] == [True, True, False]
        before = await calls()
        assert not any([await allowed(limiter, Rule("other", 9, 60.0), rule) for _ in range(50)])
        assert await calls() == before
        assert await allowed(limiter, Rule("other", 1, 60.0)), "nothing was charged"


async def test_while_redis_hangs_only_the_first_call_waits_for_it() -> None:
    """What was sent to it meanwhile it counts when it wakes up: as many have waited."""
    with own_redis() as server:
        async with open_redis(hasty(server.url)) as redis:
            script = LuaScript(redis, WINDOWS)
            limiter = RedisLimiter(script)
            rule = Rule("ann", 1000, 60.0)
            await limiter.hit([rule])
            server.pause()
            over = asyncio.get_running_loop().time() + 4 * TRY_AGAIN_S
            while asyncio.get_running_loop().time() < over:
                await limiter.hit([rule])
                await asyncio.sleep(0.01)
            server.resume()
            async with asyncio.timeout(20):
                while not is_used(script):  # noqa: ASYNC110 there is no event to wait for
                    await asyncio.sleep(0.01)
            verdict = await limiter.hit([rule])
            assert verdict is not None
            assert verdict.remaining >= 1000 - 3
            await limiter.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}


def is_used(script: LuaScript) -> bool:
    try:
        script.expect_answer()
    except Unanswered:
        return False
    return True


async def test_a_redis_that_hangs_holds_up_nobody_for_long() -> None:
    with own_redis() as server:
        async with open_limiter(hasty(server.url)) as limiter:
            await allowed(limiter, Rule("ann", 5, 60.0))
            server.pause()
            async with asyncio.timeout(10):
                for _ in range(200):
                    await allowed(limiter, Rule("ann", 5, 60.0))
            server.resume()
