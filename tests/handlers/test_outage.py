from hypothesis import given
from hypothesis import strategies as st

from handlers.outage import Outage


def mode_of(outage: Outage) -> str:
    return outage.mode


def test_the_first_failure_begins_it_and_only_the_first() -> None:
    outage = Outage(1.0)
    assert mode_of(outage) == "exact"
    assert outage.failed(0.0)
    assert mode_of(outage) == "degraded"
    assert not outage.failed(1.0)


def test_it_ends_when_nearly_all_have_reported_since_the_store_answers() -> None:
    outage = Outage(1.0)
    outage.failed(10.0)
    assert outage.over(0.0, 11.0) is None, "it does not answer"
    outage.answered(15.0)
    assert outage.over(0.11, 15.5) is None
    assert outage.over(0.1, 15.5) == 5.5
    assert mode_of(outage) == "exact"
    assert outage.over(0.0, 15.5) is None


def test_who_has_not_reported_in_two_reports_time_is_not_waited_for() -> None:
    outage = Outage(1.0)
    outage.failed(0.0)
    outage.answered(1.0)
    assert outage.over(1.0, 2.9) is None
    assert outage.over(1.0, 3.0) == 3.0


def test_one_more_failure_begins_the_wait_anew() -> None:
    outage = Outage(1.0)
    outage.failed(0.0)
    outage.answered(1.0)
    outage.failed(2.0)
    assert outage.over(0.0, 2.0) is None
    outage.answered(2.5)
    outage.answered(4.0)
    assert (outage.answers_for_s(4.0), outage.over(1.0, 4.5)) == (1.5, 4.5)


def test_a_store_that_has_lost_many_handlers_is_an_outage_that_answers() -> None:
    outage = Outage(1.0)
    assert not outage.lost(0.1, 0.0)
    assert outage.answers_for_s(0.0) == 0.0
    assert outage.lost(0.2, 0.0)
    assert not outage.lost(0.2, 1.0)
    assert outage.answers_for_s(1.0) == 1.0
    assert outage.over(0.2, 1.0) is None
    assert outage.over(0.0, 1.0) == 1.0


@given(st.lists(st.tuples(st.sampled_from(["failed", "answered", "lost"]), st.floats(0, 9))))
def test_it_never_ends_without_an_answer_and_always_ends_soon_after_one(
    told: list[tuple[str, float]],
) -> None:
    outage, now = Outage(1.0), 0.0
    for what, pause in told:
        now += pause
        if what == "failed":
            outage.failed(now)
        elif what == "answered":
            outage.answered(now)
        else:
            outage.lost(1.0, now)
        if what == "failed":
            assert outage.over(0.0, now) is None
    degraded = mode_of(outage) == "degraded"
    outage.answered(now)
    assert (outage.over(1.0, now + 2.001) is not None) is degraded
    assert mode_of(outage) == "exact"
    assert "exact" in repr(outage)
