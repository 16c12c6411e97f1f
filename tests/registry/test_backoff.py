import random

from hypothesis import given
from hypothesis import strategies as st

from registry.backoff import BASE_S, CAP_S, full_jitter


@given(st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_the_wait_is_within_the_bound_of_its_attempt_and_never_above_the_cap(
    failures: int, rng: random.Random
) -> None:
    wait = full_jitter(failures, rng)
    assert 0.0 <= wait <= CAP_S
    if failures < 30:
        assert wait <= BASE_S * 2 ** (failures - 1)


def test_the_jitter_is_full_so_that_clients_spread_over_the_whole_bound(rng: random.Random) -> None:
    waits = [full_jitter(20, rng) for _ in range(1000)]
    assert min(waits) < 0.1 * CAP_S
    assert max(waits) > 0.9 * CAP_S


def test_equal_seeds_wait_equally() -> None:
    assert full_jitter(5, random.Random(7)) == full_jitter(5, random.Random(7))
