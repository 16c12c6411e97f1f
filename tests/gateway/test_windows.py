"""The sliding windows, against a log that is kept naively."""

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windows import TICKS, Refused, Rule, SlidingWindows, Verdict


def hit(windows: SlidingWindows, now: float, *rules: Rule) -> bool:
    verdict = windows.hit(rules, now)
    assert verdict is not None
    return verdict.allowed


ONE = Rule("a", 3, 60.0)


def test_a_window_holds_no_more_than_its_limit() -> None:
    windows = SlidingWindows()
    assert [hit(windows, float(n), ONE) for n in range(5)] == [True, True, True, False, False]


def test_a_window_slides() -> None:
    windows = SlidingWindows()
    for now in (0.0, 30.0, 59.0):
        assert hit(windows, now, ONE)
    assert not hit(windows, 59.9, ONE)
    assert hit(windows, 60.0, ONE), "the first has left"
    assert not hit(windows, 60.0, ONE), "only the first has left"


def test_the_numbers_of_a_verdict() -> None:
    windows = SlidingWindows()
    first = windows.hit([ONE], 6.0)
    assert first is not None
    assert (first.rule.limit, first.remaining, first.reset_s, first.retry_after_s) == (3, 2, 60.0, 0.0)
    windows.hit([ONE], 12.0)
    windows.hit([ONE], 18.0)
    refused = windows.hit([ONE], 26.0)
    assert refused is not None
    assert not refused.allowed
    assert refused.remaining == 0
    assert refused.reset_s == refused.retry_after_s == pytest.approx(40.0)


def test_one_rule_in_the_way_counts_nowhere() -> None:
    windows = SlidingWindows()
    wide, narrow = Rule("user", 10, 60.0), Rule("route", 1, 60.0)
    assert hit(windows, 0.0, wide, narrow)
    for _ in range(20):
        assert not hit(windows, 1.0, wide, narrow)
    verdict = windows.hit([wide], 1.0)
    assert verdict is not None
    assert verdict.remaining == 8


def test_the_tightest_rule_speaks() -> None:
    windows = SlidingWindows()
    verdict = windows.hit([Rule("a", 10, 60.0), Rule("b", 2, 60.0)], 0.0)
    assert verdict is not None
    assert (verdict.rule.limit, verdict.remaining) == (2, 1)


def test_a_refusal_waits_for_the_last_rule_in_its_way() -> None:
    windows = SlidingWindows()
    short, long = Rule("a", 1, 1.0), Rule("b", 1, 60.0)
    assert hit(windows, 0.0, short, long)
    refused = windows.hit([short, long], 0.5)
    assert refused is not None
    assert refused.retry_after_s == pytest.approx(59.5)


def test_a_limit_of_zero_lets_nothing_through() -> None:
    verdict = SlidingWindows().hit([Rule("a", 0, 60.0)], 0.0)
    assert verdict is not None
    assert (verdict.allowed, verdict.remaining, verdict.retry_after_s) == (False, 0, 60.0)


def test_no_rules_no_verdict() -> None:
    assert SlidingWindows().hit([], 0.0) is None


def test_quiet_keys_are_forgotten() -> None:
    windows = SlidingWindows()
    for number in range(100):
        hit(windows, number / 100, Rule(f"k{number}", 5, 10.0))
    assert len(windows) == 100
    for number in range(100):
        hit(windows, 20.0, Rule(f"other{number}", 5, 10.0))
    assert len(windows) == 100, "each new one made room for itself"


def test_the_number_of_keys_is_bounded() -> None:
    windows = SlidingWindows(max_keys=10)
    for number in range(1000):
        hit(windows, 0.0, Rule(f"k{number}", 5, 10.0))
    assert len(windows) == 10
    assert "10 keys" in repr(windows)


def test_a_key_that_another_rule_of_its_request_pushes_out_is_counted_all_the_same() -> None:
    windows = SlidingWindows(max_keys=1)
    first, second = Rule("first", 3, 10.0), Rule("second", 3, 10.0)
    hit(windows, 0.0, second)
    assert hit(windows, 0.0, first, second)
    assert [hit(windows, 0.0, second) for _ in range(2)] == [True, False]


def test_a_refused_key_takes_no_room() -> None:
    windows = SlidingWindows()
    windows.hit([Rule("a", 0, 60.0)], 0.0)
    assert len(windows) == 0


def test_the_memory_of_a_key_does_not_grow_with_its_limit() -> None:
    windows = SlidingWindows()
    rule = Rule("a", 10**9, 60.0)
    for number in range(20_000):
        hit(windows, number * 0.01, rule)
    (window,) = windows._windows.values()
    assert len(window.counts) <= TICKS + 1


HITS = st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["a", "b", "ab"])), max_size=120)


@given(HITS, st.integers(0, 6), st.integers(1, 6), st.sampled_from([0.5, 3.0, 7.3, 60.0]))
def test_it_agrees_with_a_naive_log(
    hits: list[tuple[float, str]], limit_a: int, limit_b: int, window_s: float
) -> None:
    """The log holds each counted request with its time rounded up to the tick."""
    rules = {"a": Rule("a", limit_a, window_s), "b": Rule("b", limit_b, window_s)}
    tick_s = window_s / TICKS
    log: dict[str, list[int]] = defaultdict(list)
    windows = SlidingWindows()
    for now, keys in sorted(hits):
        counting = {key: sum((tick + TICKS) * tick_s - now > 0 for tick in log[key]) for key in keys}
        expected = all(counting[key] < rules[key].limit for key in keys)
        verdict = windows.hit([rules[key] for key in keys], now)
        assert verdict is not None
        assert verdict.allowed is expected
        if expected:
            for key in keys:
                log[key].append(math.ceil(now / tick_s))
        left = min(rules[key].limit - counting[key] - expected for key in keys)
        assert verdict.remaining == max(0, left)


@given(st.lists(st.floats(0, 300), max_size=200), st.integers(1, 10))
def test_no_window_of_any_start_holds_more_than_the_limit(times: list[float], limit: int) -> None:
    windows = SlidingWindows()
    rule = Rule("a", limit, 60.0)
    taken = [now for now in sorted(times) if hit(windows, now, rule)]
    for start in taken:
        assert sum(start <= now < start + 60.0 for now in taken) <= limit


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.integers(1, 5))
def test_who_waits_as_told_is_let_through(times: list[float], limit: int) -> None:
    windows = SlidingWindows()
    rule = Rule("a", limit, 60.0)
    now = 0.0
    for now in sorted(times):
        windows.hit([rule], now)
    verdict = windows.hit([rule], now)
    assert verdict is not None
    assert hit(windows, now + verdict.retry_after_s + 1e-6, rule) or verdict.allowed


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from("abcdef")), max_size=80))
def test_keys_do_not_touch_each_other(hits: list[tuple[float, str]]) -> None:
    together, taken, alone = SlidingWindows(), Counter[str](), Counter[str]()
    apart: dict[str, SlidingWindows] = defaultdict(SlidingWindows)
    for now, key in sorted(hits):
        rule = Rule(key, 2, 10.0)
        taken[key] += hit(together, now, rule)
        alone[key] += hit(apart[key], now, rule)
    assert taken == alone


# What is remembered of another's verdicts


def refusal(rule: Rule, reset_s: float, retry_after_s: float) -> Verdict:
    return Verdict(rule, False, 0, reset_s, retry_after_s)


def test_a_refusal_is_repeated_until_something_leaves_the_window() -> None:
    known = Refused()
    known.remember(refusal(ONE, 10.0, 30.0), now=100.0)
    again = known.verdict([Rule("b", 1, 60.0), ONE], 104.0)
    assert again == refusal(ONE, 6.0, 26.0)
    assert known.verdict([ONE], 110.0) is None
    assert len(known) == 0


def test_a_refusal_holds_for_its_key_its_window_and_limits_that_are_no_higher() -> None:
    known = Refused()
    known.remember(refusal(ONE, 10.0, 10.0), now=0.0)
    assert known.verdict([Rule("a", 2, 60.0)], 1.0) is not None
    for other in (Rule("a", 4, 60.0), Rule("a", 3, 10.0), Rule("b", 3, 60.0)):
        assert known.verdict([other], 1.0) is None


def test_refusals_are_remembered_up_to_a_bound() -> None:
    known = Refused(max_keys=10)
    for number in range(100):
        known.remember(refusal(Rule(f"k{number}", 5, 10.0), 10.0, 10.0), now=0.0)
    assert len(known) == 10


@given(st.lists(st.floats(0, 300), max_size=100), st.integers(1, 4))
def test_with_what_is_remembered_nobody_is_judged_otherwise(times: list[float], limit: int) -> None:
    windows, known = SlidingWindows(), Refused()
    rule = Rule("a", limit, 60.0)
    for now in sorted(times):
        remembered = known.verdict([rule], now)
        verdict = windows.hit([rule], now)
        assert verdict is not None
        if remembered is None:
            if not verdict.allowed:
                known.remember(verdict, now)
        else:
            assert not verdict.allowed
            assert remembered[3:5] == pytest.approx(verdict[3:5], abs=1e-6)
