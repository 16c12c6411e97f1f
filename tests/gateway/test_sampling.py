from hypothesis import given
from hypothesis import strategies as st

from gateway.sampling import Sampler


@given(st.floats(0, 1), st.integers(0, 300))
def test_of_any_number_the_share_is_taken_one_more_or_less(share: float, calls: int) -> None:
    sampler = Sampler(share)
    taken = sum(sampler.takes() for _ in range(calls))
    assert abs(taken - calls * share) < 1.000_001


def test_all_and_none_are_exact() -> None:
    everything, nothing = Sampler(1), Sampler(0)
    assert all(everything.takes() for _ in range(1000))
    assert not any(nothing.takes() for _ in range(1000))


def test_those_that_are_taken_are_spread_evenly() -> None:
    sampler = Sampler(0.25)
    assert [sampler.takes() for _ in range(8)] == [False, False, False, True] * 2
