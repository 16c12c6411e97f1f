from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.hedging import EARLIEST_S, ENOUGH, MOST, WINDOW_S, RecentLatencies, hedge_after, may_hedge
from balancer.model import OutboundRequest, RetryClass


def recent_of(latencies: list[float], now: float = 0.0) -> RecentLatencies:
    recent = RecentLatencies()
    for seconds in latencies:
        recent.add(seconds, now)
    return recent


def test_quantiles_of_what_is_known() -> None:
    recent = recent_of([n / 100 for n in range(100)])
    assert recent.median(0) == 0.5
    assert recent.p95(0) == 0.95


def test_with_few_latencies_nothing_is_known() -> None:
    recent = recent_of([0.1] * (ENOUGH - 1))
    assert recent.p95(0) is None
    recent.add(0.1, 0)
    assert recent.p95(0) == recent.median(0) == 0.1


def test_what_is_old_is_forgotten() -> None:
    recent = recent_of([0.1] * 100)
    assert recent.p95(WINDOW_S * 1.5) == 0.1
    for _ in range(50):
        recent.add(0.5, WINDOW_S * 1.5)
    assert recent.p95(WINDOW_S * 1.6) == 0.5
    assert recent.p95(WINDOW_S * 9) is None
    assert len(recent) == 0


def test_quantiles_follow_as_more_becomes_known() -> None:
    recent = recent_of([0.1] * ENOUGH)
    assert recent.p95(0) == 0.1
    for _ in range(500):
        recent.add(0.9, 0)
    assert recent.p95(0) == 0.9


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 2)), max_size=300))
def test_a_quantile_is_one_of_the_latencies_and_memory_is_bounded(steps: list[tuple[float, float]]) -> None:
    recent, now = RecentLatencies(), 0.0
    for seconds, wait_s in steps:
        now += wait_s
        recent.add(seconds, now)
    known = {seconds for seconds, _ in steps}
    assert recent.p95(now) in known | {None}
    assert (recent.median(now) or 0) <= (recent.p95(now) or 0)


def test_memory_is_bounded() -> None:
    recent = recent_of([0.1] * (5 * MOST))
    assert len(recent) <= 2 * MOST


def test_a_call_is_slow_after_what_nearly_all_take() -> None:
    assert hedge_after(recent_of([]), 0) is None
    assert hedge_after(recent_of([0.2] * 30), 0) == 0.2
    assert hedge_after(recent_of([0.0001] * 30), 0) == EARLIEST_S


@pytest.mark.parametrize(
    ("retry", "in_memory", "switch"), [*product(RetryClass, [True, False], [True, False])]
)
def test_only_what_is_safe_and_in_memory_may_be_under_way_twice(
    retry: RetryClass, in_memory: bool, switch: bool
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b""

    request = OutboundRequest("GET", "/", [], b"" if in_memory else stream(), idempotency_key=True)
    expected = retry is RetryClass.SAFE and in_memory and not switch
    assert may_hedge(retry, replace(request, switch=switch)) is expected
