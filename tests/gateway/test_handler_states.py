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
SIGTERM = replace(UP, eligible=False, why_not="leaving")


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
        (SIGTERM, DrainState.MIGRATING, False),
        (replace(SIGTERM, connections=0), DrainState.DRAINED, True),
        (replace(UP, eligible=False, why_not="silent"), DrainState.SILENT, True),
        (replace(LEAVING, why_not="silent"), DrainState.MIGRATING, False),
    ],
)
def test_how_far_a_drain_has_got(state: HandlerState, expected: DrainState, over: bool) -> None:
    assert drain_state(state) == expected
    assert DrainWatch(patience_s=1.0).saw(state, 0.0) is over


def test_who_has_a_seat_may_still_come() -> None:
    assert remaining(UP) == 5


def test_a_process_that_stops_lets_nobody_in_with_a_seat() -> None:
    assert remaining(SIGTERM) == 3
    assert remaining(LEAVING) == 5


def test_the_last_report_may_come_a_moment_after_the_deadline() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(patience_s=1.0)
    assert not watch.saw(LEAVING, 4.0)
    assert not watch.saw(late, 5.0)
    assert not watch.saw(late, 5.9)
    assert watch.saw(replace(late, connections=0, held=0), 5.9)
    assert watch.saw(late, 6.0)


def test_who_begins_to_wait_after_the_deadline_waits_for_one_report_too() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(patience_s=1.0)
    assert not watch.saw(late, 50.0)
    assert watch.saw(late, 51.0)


def test_a_deadline_that_is_put_off_is_waited_for() -> None:
    late = replace(LEAVING, drain=DrainOrder(0.0))
    watch = DrainWatch(patience_s=1.0)
    assert not watch.saw(late, 5.0)
    assert not watch.saw(LEAVING, 6.0)
    assert not watch.saw(late, 26.0)
    assert watch.saw(late, 27.0)


def test_what_is_said_of_a_drain() -> None:
    assert drain_body(LEAVING) == {
        "handler_id": "WSH1",
        "state": "migrating",
        "remaining": 5,
        "deadline_in_s": 20.0,
    }
    assert drain_body(UP) == {"handler_id": "WSH1", "state": "up", "remaining": 5, "deadline_in_s": None}
    assert drain_body(SIGTERM)["remaining"] == 3
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
