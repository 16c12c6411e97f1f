from math import inf

from hypothesis import given
from hypothesis import strategies as st

from balancer.slow_start import HICCUP_S, LEAST, STEPS, holds_until, is_new, shares

OLD = -inf


def test_a_share_grows_from_a_tenth_to_all() -> None:
    grown = [shares([0, OLD], over_s=10, now=now) for now in (0, 0.5, 1, 5, 9.9)]
    assert [g and g[0] for g in grown] == [LEAST, LEAST, 0.1, 0.5, 0.99]
    assert shares([0, OLD], over_s=10, now=10) is None


def test_when_most_are_new_nobody_is_spared() -> None:
    assert shares([0, OLD], over_s=10, now=0) is not None
    assert shares([0, 0, OLD], over_s=10, now=0) is None
    assert shares([0], over_s=10, now=0) is None


def test_without_a_time_there_is_no_slow_start() -> None:
    assert shares([0, OLD], over_s=0, now=0) is None


def test_a_hiccup_makes_nobody_new() -> None:
    assert not is_new(left_at=5, now=5 + HICCUP_S)
    assert is_new(left_at=5, now=6 + HICCUP_S)
    assert is_new(OLD, now=0)


@given(st.lists(st.floats(0, 30) | st.just(OLD)), st.floats(0.1, 20), st.floats(0, 30))
def test_shares_are_shares_and_end(new_at: list[float], over_s: float, age: float) -> None:
    now = max([0.0, *new_at]) + age
    given = shares(new_at, over_s, now)
    assert given is None or all(LEAST <= share <= 1 for share in given)
    until = holds_until(new_at, over_s, now)
    assert until in (inf, now + over_s / STEPS)
    assert until < inf or given is None
    assert holds_until(new_at, over_s, now + over_s + 1) == inf
