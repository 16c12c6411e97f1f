from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.hedging import (
    EARLIEST_S,
    ENOUGH,
    SORTED_FOR_S,
    WINDOW,
    RecentLatencies,
    hedge_after,
    may_hedge,
)
from balancer.model import OutboundRequest, RetryClass


def recent_of(latencies: list[float]) -> RecentLatencies:
    recent = RecentLatencies()
    for seconds in latencies:
        recent.add(seconds)
    return recent


def test_quantiles_of_what_is_known() -> None:
    recent = recent_of([n / 100 for n in range(100)])
    assert recent.median(0) == 0.5
    assert recent.p95(0) == 0.95


def test_with_few_latencies_nothing_is_known() -> None:
    assert recent_of([0.1] * (ENOUGH - 1)).p95(0) is None
    assert recent_of([0.1] * ENOUGH).p95(0) == 0.1


def test_people_get_an_idea_also_of_few() -> None:
    assert recent_of([]).about(0) is None
    assert recent_of([0.3, 0.1, 0.2]).about(0) == 0.2
    assert recent_of([n / 100 for n in range(100)]).about(0) == 0.5


def test_quantiles_follow_as_more_becomes_known() -> None:
    recent = recent_of([0.1] * ENOUGH)
    assert recent.p95(0) == 0.1
    for _ in range(WINDOW):
        recent.add(0.9)
    assert recent.p95(SORTED_FOR_S) == 0.9


@given(st.lists(st.floats(0, 100), max_size=2 * WINDOW))
def test_a_quantile_is_one_of_the_latest_and_memory_is_bounded(latencies: list[float]) -> None:
    recent = recent_of(latencies)
    assert recent.p95(0) in {*latencies[-WINDOW:], None}
    assert (recent.median(0) or 0) <= (recent.p95(0) or 0)
    assert len(recent) <= WINDOW


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
