"""What every limiter promises. A new line in LIMITERS is tested by being there."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.limiters import LIMITERS, load_limiter
from gateway.limiters.base import Limiter, Rule
from tests.servers import patient


@pytest.fixture(params=LIMITERS)
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    # A shared store brings its real server along; one that needs none never asks for the fixture.
    url = "" if request.param == "memory" else patient(request.getfixturevalue("redis_url"))
    async with load_limiter(request.param)(url) as opened:
        yield opened


def rule(limit: int, window_s: float = 60.0) -> Rule:
    return Rule(f"test:{uuid4()}", limit, window_s)


async def test_without_rules_there_is_no_verdict(limiter: Limiter) -> None:
    assert await limiter.hit([]) is None


async def test_exactly_the_limit_passes_also_all_at_once(limiter: Limiter) -> None:
    one = rule(10)
    verdicts = await asyncio.gather(*(limiter.hit([one]) for _ in range(30)))
    assert sum(verdict is not None and verdict.allowed for verdict in verdicts) == 10


async def test_all_or_nothing(limiter: Limiter) -> None:
    wide, narrow = rule(10), rule(1)
    verdicts = [await limiter.hit([wide, narrow]) for _ in range(5)]
    assert [verdict is not None and verdict.allowed for verdict in verdicts] == [True, *[False] * 4]
    verdict = await limiter.hit([wide])
    assert verdict is not None
    assert verdict.remaining == 8


async def test_whom_it_refuses_is_known_without_counting_again(limiter: Limiter) -> None:
    one, other = rule(1), rule(1)
    assert limiter.refusal([one]) is None
    for _ in range(2):
        await limiter.hit([one])
    refusal = limiter.refusal([other, one])
    assert refusal is not None
    assert (refusal.rule, refusal.allowed, refusal.remaining) == (one, False, 0)
    assert limiter.refusal([other]) is None


async def test_the_numbers_count_down(limiter: Limiter) -> None:
    one = rule(3)
    verdicts = [await limiter.hit([one]) for _ in range(4)]
    assert [verdict.remaining for verdict in verdicts if verdict] == [2, 1, 0, 0]
    last = verdicts[-1]
    assert last is not None
    assert last.rule.limit == 3
    assert 50 < last.retry_after_s <= 60.1
    assert 50 < last.reset_s <= 60.1


async def test_the_tightest_rule_speaks(limiter: Limiter) -> None:
    verdict = await limiter.hit([rule(10), rule(2), rule(5)])
    assert verdict is not None
    assert (verdict.rule.limit, verdict.remaining) == (2, 1)


async def test_a_window_that_has_passed_counts_no_more(limiter: Limiter) -> None:
    one = rule(1, window_s=0.2)
    assert (first := await limiter.hit([one])) is not None
    assert first.allowed
    deadline = time.monotonic() + 5
    while True:
        verdict = await limiter.hit([one])
        assert verdict is not None
        if verdict.allowed:
            break
        assert time.monotonic() < deadline, "the window never passed"
        await asyncio.sleep(verdict.retry_after_s)


async def test_who_was_refused_is_refused_until_told_and_a_higher_limit_is_asked_for_anew(
    limiter: Limiter,
) -> None:
    key = rule(1).key
    low, high = Rule(key, 1, 60.0, "address"), Rule(key, 3, 60.0, "tier")
    verdicts = [await limiter.hit([each]) for each in (low, low, low, high, low)]
    assert [verdict is not None and verdict.allowed for verdict in verdicts] == [
        True,
        False,
        False,
        True,
        False,
    ]
    refused = verdicts[2]
    assert refused is not None
    assert (refused.rule.name, refused.remaining, refused.degraded) == ("address", 0, False)
    assert 50 < refused.retry_after_s <= 60.1


async def test_keys_are_counted_apart(limiter: Limiter) -> None:
    for _ in range(5):
        verdict = await limiter.hit([rule(1)])
        assert verdict is not None
        assert verdict.allowed
