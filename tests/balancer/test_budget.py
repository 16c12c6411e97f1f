from hypothesis import given
from hypothesis import strategies as st

from balancer.budget import MOMENT_S, RetryLedger
from balancer.policy import RetryBudget

ONLY_SHARE = RetryBudget(percent=20, at_least=0)


def begins(budget: RetryLedger, now: float) -> bool:
    if not budget.has_room(now):
        return False
    budget.second += 1
    return True


def test_second_tries_are_less_than_a_share_of_the_first_ones_under_way() -> None:
    budget = RetryLedger(ONLY_SHARE)
    budget.first = 50
    assert [begins(budget, 1.0) for _ in range(12)] == [True] * 9 + [False] * 3


def test_a_few_are_allowed_when_there_is_no_load() -> None:
    budget = RetryLedger(RetryBudget(percent=20, at_least=3))
    assert [begins(budget, 1.0) for _ in range(4)] == [True, True, True, False]


def test_what_has_just_ended_counts_for_a_moment() -> None:
    budget = RetryLedger(RetryBudget(percent=20, at_least=1))
    budget.first = 15
    for _ in range(15):
        budget.first_ended(0.1)
    assert begins(budget, 0.1)
    assert begins(budget, 0.1)
    assert not budget.has_room(0.1)
    budget.second_ended(0.2)
    budget.second_ended(0.2)
    assert not budget.has_room(0.3), "tries that fail at once are not repeated without end"
    assert not budget.has_room(0.1 + MOMENT_S / 2)
    assert begins(budget, 0.2 + 1.5 * MOMENT_S), "the least there may be, now that all is forgotten"
    assert not budget.has_room(0.2 + 1.5 * MOMENT_S)


def test_none_at_all_when_the_policy_says_so() -> None:
    budget = RetryLedger(RetryBudget(percent=0, at_least=0))
    budget.first = 1000
    assert not budget.has_room(0)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 0.4), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=200
    )
)
def test_over_any_time_tries_that_fail_at_once_grow_by_the_share_at_most(
    steps: list[tuple[float, int, int]],
) -> None:
    """Every call fails at once and would be tried again for ever."""
    budget = RetryLedger(ONLY_SHARE)
    now, first, second = 0.0, 0, 0
    for wait_s, calls, wanted in steps:
        now += wait_s
        for _ in range(calls):
            budget.first += 1
            budget.first_ended(now)
            first += 1
        for _ in range(wanted):
            if begins(budget, now):
                budget.second_ended(now)
                second += 1
        assert second == 0 or second < 0.2 * first
    assert (budget.first, budget.second) == (0, 0)
