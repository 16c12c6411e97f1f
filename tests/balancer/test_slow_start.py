from math import inf

from hypothesis import given
from hypothesis import strategies as st

from balancer.slow_start import HICCUP_S, LEAST, STEPS, is_new, shares

OLD = -inf


def of(*new_at: float, over_s: float = 10, now: float = 0) -> list[float] | None:
    return shares(new_at, over_s, now)[0]


def test_a_share_grows_from_a_tenth_to_all() -> None:
    grown = [of(0, OLD, now=now) for now in (0, 0.5, 1, 5, 9.9)]
    assert [g and g[0] for g in grown] == [LEAST, LEAST, 0.1, 0.5, 0.99]
    assert of(0, OLD, now=10) is None


def test_when_most_are_new_nobody_is_spared() -> None:
    assert of(0, OLD) is not None
    assert of(0, 0, OLD) is None
    assert of(0) is None


def test_without_a_time_there_is_no_slow_start() -> None:
    assert of(0, OLD, over_s=0) is None


def test_a_hiccup_makes_nobody_new() -> None:
    assert not is_new(left_at=5, now=5 + HICCUP_S)
    assert is_new(left_at=5, now=6 + HICCUP_S)
    assert is_new(OLD, now=0)


@given(st.lists(st.floats(0, 30) | st.just(OLD)), st.floats(0.1, 20), st.floats(0, 30))
def test_shares_are_shares_and_end(new_at: list[float], over_s: float, age: float) -> None:
    now = max([0.0, *new_at]) + age
    given, until = shares(new_at, over_s, now)
    assert given is None or all(LEAST <= share <= 1 for share in given)
    assert until in (inf, now + over_s / STEPS)
    assert until < inf or given is None
    assert shares(new_at, over_s, now + over_s + 1) == (None, inf)
