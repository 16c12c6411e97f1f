from hypothesis import given
from hypothesis import strategies as st

from balancer.budget import SPAN_S, SPANS_OF_FIRST, SPANS_OF_SECOND, RetryLedger
from balancer.policy import RetryBudget
from balancer.retry import ROOM_PAUSES_S

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
    """Tries that fail at once are not repeated without end."""
    budget = RetryLedger(RetryBudget(percent=20, at_least=1))
    budget.first = 15
    for _ in range(15):
        budget.first_ended(10.0)
    assert [begins(budget, 10.0) for _ in range(3)] == [True, True, False]
    for _ in range(2):
        budget.second_ended(10.0)
    assert not budget.has_room(10.0)
    budget.policy = ONLY_SHARE
    for _ in range(8):
        budget.first += 1
        budget.first_ended(10.0 + SPANS_OF_FIRST * SPAN_S)
    assert not budget.has_room(10.0 + SPANS_OF_FIRST * SPAN_S), "the second ones are not forgotten yet"
    assert begins(budget, 10.0 + SPANS_OF_SECOND * SPAN_S)


def test_where_calls_are_few_a_retry_never_waits_in_vain() -> None:
    """One call after the other, each of which meets an instance that resets: each gets its second try."""
    budget, now = RetryLedger(RetryBudget(percent=20, at_least=3)), 10.0
    for _ in range(100):
        budget.first += 1
        budget.first_ended(now)
        if not begins(budget, now):
            now += sum(ROOM_PAUSES_S)
            assert begins(budget, now)
        budget.second_ended(now)
        now += 0.001


def test_after_a_pause_nothing_is_remembered() -> None:
    budget = RetryLedger(ONLY_SHARE)
    budget.first = 100
    for _ in range(100):
        budget.first_ended(10.0)
    assert budget.has_room(10.0)
    assert not budget.has_room(1e6)


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
