import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.blocking import BURST, QUERIES_PER_S, SLACK_S, Position, TokenBucket, deadline_s


def test_an_index_that_goes_backwards_is_thrown_away_and_counted() -> None:
    position = Position().after(42).after(10)
    assert position == Position(None, resets=1)
    assert position.after(10) == Position(10, resets=1)


def test_an_index_below_one_is_taken_as_one_so_that_the_loop_does_not_spin() -> None:
    assert Position().after(0).index == 1
    assert Position().after(-7).index == 1


def test_after_an_error_the_next_query_answers_at_once() -> None:
    assert Position(42, resets=3).after_error() == Position(None, resets=3)


def test_an_index_is_never_carried_to_another_address() -> None:
    position = Position().after(42)
    assert position.at(0) is position
    assert position.at(1) == Position(None, address=1)
    assert position.at(1).after(7) == Position(7, address=1), "lower, and no reset"
    assert position.at(1).after(7).at(0).index is None
    assert position.at(1).after(7).after(3) == Position(None, resets=1, address=1)


@given(st.lists(st.one_of(st.integers(-3, 50), st.none()), max_size=50))
def test_no_query_ever_blocks_on_an_index_above_the_last_answer(answers: list[int | None]) -> None:
    position = Position()
    for answered in answers:
        position = position.after_error() if answered is None else position.after(answered)
        if answered is None:
            assert position.index is None
        else:
            assert position.index is None or 1 <= position.index <= max(answered, 1)


@pytest.mark.parametrize("wait_s", [0.1, 1.0, 30.0, 600.0])
def test_the_client_waits_longer_than_consul_may_take(wait_s: float) -> None:
    assert deadline_s(wait_s) == wait_s + wait_s / 16 + SLACK_S


def test_a_burst_is_free_and_then_each_take_waits_its_turn() -> None:
    bucket, waits = TokenBucket(at=100.0), []
    for _ in range(4):
        bucket, wait = bucket.take(100.0)
        waits.append(wait)
    assert waits == [0.0, 0.0, 1 / QUERIES_PER_S, 2 / QUERIES_PER_S]


def test_a_rest_fills_the_bucket_to_the_burst_and_not_further() -> None:
    bucket = TokenBucket(at=0.0)
    for now, free in [
        (0.0, True),
        (0.0, True),
        (0.0, False),
        (1000.0, True),
        (1000.0, True),
        (1000.0, False),
    ]:
        bucket, wait = bucket.take(now)
        assert (wait == 0.0) is free


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200))
def test_no_pattern_of_asking_gets_more_than_rate_and_burst(pauses: list[float]) -> None:
    bucket, now = TokenBucket(), 0.0
    taken: list[float] = []
    for pause in pauses:
        bucket, wait = bucket.take(now)
        now += wait
        taken.append(now)
        now += pause
    for first, start in enumerate(taken):
        within_a_second = sum(1 for at in taken[first:] if at < start + 1.0)
        assert within_a_second <= BURST + QUERIES_PER_S
