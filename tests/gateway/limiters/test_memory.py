"""The memory limiter's own: its clock. What it shares with others is in test_contract.py."""

from gateway.limiters.base import Rule
from gateway.limiters.memory import MemoryLimiter, open_limiter


async def test_it_counts_by_the_clock_it_is_given() -> None:
    now = 0.0
    limiter = MemoryLimiter(clock=lambda: now)
    one = Rule("a", 1, 60.0)
    answers = []
    for now in (0.0, 59.9, 60.0):  # noqa: B007 -- the clock reads it
        verdict = await limiter.hit([one])
        answers.append(verdict is not None and verdict.allowed)
    assert answers == [True, False, True]
    assert "1 keys" in repr(limiter)


async def test_each_one_opened_starts_empty() -> None:
    one = Rule("a", 1, 60.0)
    for _ in range(2):
        async with open_limiter("") as limiter:
            verdict = await limiter.hit([one])
            assert verdict is not None
            assert verdict.allowed
