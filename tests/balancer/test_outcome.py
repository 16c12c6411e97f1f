from dataclasses import replace

import pytest

from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side


def test_a_success_blames_nobody() -> None:
    assert SUCCESS.ok
    assert not SUCCESS.blames_instance


@pytest.mark.parametrize(
    ("side", "blamed"), [(Side.INSTANCE, True), (Side.CLIENT, False), (Side.GATEWAY, False)]
)
def test_only_its_own_failures_are_held_against_an_instance(side: Side, blamed: bool) -> None:
    assert Outcome(Phase.WAIT, side, Kind.RESET, sent=True).blames_instance is blamed


def test_the_label_is_phase_and_kind_and_the_detail_stands_beside_it() -> None:
    outcome = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False, detail="ECONNREFUSED")
    assert outcome.label == "connect_refused"
    assert str(outcome) == "connect_refused (ECONNREFUSED)"
    assert str(SUCCESS) == "done_ok"


def test_what_is_derived_follows_a_changed_copy() -> None:
    timed_out = Outcome(Phase.WAIT, Side.INSTANCE, Kind.TIMEOUT, sent=True)
    ours = replace(timed_out, side=Side.GATEWAY, kind=Kind.RESET)
    assert (ours.blames_instance, ours.label) == (False, "wait_reset")


def test_equal_outcomes_are_one_key() -> None:
    one, other = (Outcome(Phase.WAIT, Side.CLIENT, Kind.RESET, sent=True) for _ in range(2))
    assert one == other
    assert len({one, other, replace(one, sent=False)}) == 2
