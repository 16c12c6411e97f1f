from dataclasses import replace

import pytest

from gateway.handler_states import (
    DrainState,
    DrainWatch,
    decision_body,
    drain_body,
    drain_state,
    gone_body,
    handler_body,
    remaining,
)
from handlers.model import Admin, Candidate, Decision, DrainOrder, HandlerId, HandlerState, Uid

UP = HandlerState(HandlerId("WSH1"), "http://h:1", 7, 100, 3, 2, Admin.UP, True, "", 0.25)
LEAVING = replace(UP, admin=Admin.DRAINING, eligible=False, why_not="draining", drain=DrainOrder(20.0, 5.0))


EMPTY = replace(LEAVING, connections=0)


@pytest.mark.parametrize(
    ("state", "expected", "over"),
    [
        (UP, DrainState.UP, True),
        (replace(UP, connections=0, held=0), DrainState.UP, True),
        (LEAVING, DrainState.MIGRATING, False),
        (EMPTY, DrainState.DRAINING, False),
        (replace(LEAVING, epoch=0), DrainState.DRAINING, False),
        (replace(EMPTY, held=0), DrainState.DRAINED, True),
        (replace(LEAVING, drain=DrainOrder(0.0)), DrainState.MIGRATING, False),
    ],
)
def test_how_far_a_drain_has_got(state: HandlerState, expected: DrainState, over: bool) -> None:
    assert drain_state(state) == expected
    assert DrainWatch(0.0, patience_s=1.0).saw(state, 0.0, 0.0) is over


def test_who_has_a_seat_may_still_come() -> None:
    assert remaining(UP) == 5


def test_a_process_that_knows_it_is_drained_lets_nobody_in_with_a_seat() -> None:
    assert remaining(LEAVING, refuses=True) == 3
    assert drain_state(EMPTY, refuses=True) is DrainState.DRAINED
    assert drain_body(EMPTY, refuses=True)["remaining"] == 0


def reported(state: HandlerState, at: float, now: float) -> HandlerState:
    return replace(state, last_report_age_s=now - at)


def test_after_two_reports_a_process_knows_that_it_is_drained() -> None:
    """Until the first is answered it lets clients in, and the second is sent later than that."""
    watch = DrainWatch(10.0, patience_s=1.0)
    for at, now, over in (
        *((9.9, 10.0, False), (9.9, 10.5, False)),  # from before somebody looked
        *((11.0, 11.1, False), (11.0, 11.9, False)),  # one and the same
        (12.0, 12.1, True),
    ):
        assert watch.saw(reported(EMPTY, at, now), now, now) is over
        assert watch.refuses is over


def test_a_store_that_answers_slowly_makes_one_report_no_two() -> None:
    watch = DrainWatch(0.0, patience_s=1.0)
    for asked_at, told_at, now in ((1.0, 1.1, 1.3), (2.0, 2.3, 2.3), (3.0, 3.0, 3.3)):
        assert not watch.saw(reported(EMPTY, 1.0, told_at), asked_at, now)


def test_of_a_handler_that_is_not_asked_each_seat_counts() -> None:
    """It lets everybody in."""
    watch = DrainWatch(0.0, patience_s=1.0)
    for now in (1.0, 2.0, 3.0):
        assert not watch.saw(replace(reported(EMPTY, now, now), epoch=0), now, now)


def test_the_last_report_may_come_a_moment_after_the_deadline() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(0.0, patience_s=1.0)
    assert not watch.saw(LEAVING, 4.0, 4.0)
    assert not watch.saw(late, 5.0, 5.0)
    assert not watch.saw(late, 5.9, 5.9)
    assert watch.saw(replace(late, connections=0, held=0), 5.9, 5.9)
    assert watch.saw(late, 6.0, 6.0)


def test_who_begins_to_wait_after_the_deadline_waits_for_one_report_too() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(50.0, patience_s=1.0)
    assert not watch.saw(late, 50.0, 50.0)
    assert watch.saw(late, 51.0, 51.0)


def test_a_deadline_that_is_put_off_is_waited_for() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(0.0, patience_s=1.0)
    assert not watch.saw(late, 5.0, 5.0)
    assert not watch.saw(LEAVING, 6.0, 6.0)
    assert not watch.saw(late, 26.0, 26.0)
    assert watch.saw(late, 27.0, 27.0)


def test_what_is_said_of_a_drain() -> None:
    assert drain_body(LEAVING) == {
        "handler_id": "WSH1",
        "state": "migrating",
        "remaining": 5,
        "deadline_in_s": 20.0,
    }
    assert drain_body(UP) == {"handler_id": "WSH1", "state": "up", "remaining": 0, "deadline_in_s": None}
    assert gone_body("WSH1").keys() == drain_body(UP).keys()
    assert gone_body("WSH1")["state"] == "drained"


def test_a_handler_is_shown_with_everything_there_is_to_know() -> None:
    shown = handler_body("chat", LEAVING)
    assert shown["pool"] == "chat"
    assert shown["drain"] == {"deadline_in_s": 20.0, "rate": 5.0}
    assert set(HandlerState.__slots__) <= set(shown)
    assert handler_body("chat", UP)["drain"] is None
    assert handler_body("chat", replace(UP, last_report_age_s=None))["last_report_age_s"] is None


def test_a_decision_is_shown_with_all_it_depended_on() -> None:
    candidates = (Candidate(HandlerId("WSH1"), 3, 2, 9), Candidate(HandlerId("WSH2"), 4, 2, 8))
    decision = Decision(
        10, 1.5, Uid("ada"), HandlerId("WSH1"), "least_loaded", candidates, (HandlerId("WSH3"),)
    )
    assert decision_body("chat", decision) == {
        "pool": "chat",
        "sequence": 10,
        "at": 1.5,
        "uid": "ada",
        "chosen": "WSH1",
        "why": "least_loaded",
        "candidates": [
            {"handler_id": "WSH1", "load": 3, "weight": 2, "allocated": 9, "score": 1.5},
            {"handler_id": "WSH2", "load": 4, "weight": 2, "allocated": 8, "score": 2.0},
        ],
        "excluded": ["WSH3"],
        "last": None,
    }
