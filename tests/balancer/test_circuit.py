from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.circuit import (
    ORDINARY,
    TABLE,
    CircuitLedger,
    Event,
    ImpossibleEvent,
    State,
    step,
    verdict_of_failure,
    verdict_of_status,
)
from balancer.model import Failed, Refused, RefusedReason
from balancer.outcome import OUT_OF_TIME, Kind, Outcome, Phase, Side
from balancer.policy import CircuitPolicy

POLICY = CircuitPolicy(failure_ratio=0.5, min_requests=4, window_s=10, open_s=5, probes=2)


def tripped(policy: CircuitPolicy = POLICY, now: float = 0.0) -> CircuitLedger:
    circuit = CircuitLedger(policy)
    for _ in range(policy.min_requests):
        circuit.ended(ORDINARY, now, ok=False)
    assert state_of(circuit) is State.OPEN
    return circuit


def state_of(circuit: CircuitLedger) -> State:
    """Read anew: the type checker would take a state that was asserted for one that lasts."""
    return circuit.state


def test_one_that_has_rested_waits_for_nobody_to_say_so() -> None:
    circuit = tripped()
    assert (circuit.state_at(4.9), circuit.state_at(5)) == (State.OPEN, State.HALF_OPEN)
    assert state_of(circuit) is State.OPEN, "until a call comes"
    assert CircuitLedger(POLICY).state_at(5) is State.CLOSED


def let_in(circuit: CircuitLedger, now: float) -> int:
    entered = circuit.enter(now)
    assert isinstance(entered, int)
    return entered


@pytest.mark.parametrize(("state", "event"), [*product(State, Event)])
def test_what_the_table_does_not_name_is_impossible(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert step(state, event) in State
    else:
        with pytest.raises(ImpossibleEvent):
            step(state, event)


def test_every_state_can_be_left_and_reached() -> None:
    assert {state for state, _ in TABLE} == set(TABLE.values()) == set(State)
    assert {event for _, event in TABLE} == set(Event)


def test_it_opens_when_enough_calls_of_the_window_have_failed() -> None:
    circuit = CircuitLedger(POLICY)
    for ok in (False, False, True):
        circuit.ended(ORDINARY, 0, ok=ok)
    assert state_of(circuit) is State.CLOSED, "three calls say nothing"
    circuit.ended(ORDINARY, 1, ok=True)
    assert state_of(circuit) is State.CLOSED, "a success never opens"
    circuit.ended(ORDINARY, 1, ok=False)
    assert state_of(circuit) is State.OPEN


def test_failures_of_long_ago_are_forgotten() -> None:
    circuit = CircuitLedger(POLICY)
    for _ in range(3):
        circuit.ended(ORDINARY, 0, ok=False)
    circuit.ended(ORDINARY, 10, ok=False)
    assert state_of(circuit) is State.CLOSED
    for at in (14.9, 15.0, 19.9):
        circuit.ended(ORDINARY, at, ok=False)
    assert state_of(circuit) is State.OPEN, "four within one window, over the turn of its halves"


def test_while_it_is_open_calls_are_told_what_is_left() -> None:
    circuit = tripped(now=100)
    assert circuit.enter(100) == Refused(RefusedReason.CIRCUIT_OPEN, 5)
    assert circuit.enter(104) == Refused(RefusedReason.CIRCUIT_OPEN, 1)


def test_half_open_lets_exactly_as_many_probes_through_as_the_policy_says() -> None:
    circuit = tripped()
    probes = [let_in(circuit, 5) for _ in range(2)]
    assert state_of(circuit) is State.HALF_OPEN
    assert isinstance(circuit.enter(5), Refused)
    circuit.ended(probes[0], 6, ok=True)
    assert isinstance(circuit.enter(6), Refused), "two were sent, one has succeeded"
    circuit.ended(probes[1], 6, ok=True)
    assert state_of(circuit) is State.CLOSED
    assert circuit.enter(6) == ORDINARY


def test_a_probe_that_fails_opens_it_anew() -> None:
    circuit = tripped()
    first, second = let_in(circuit, 5), let_in(circuit, 5)
    circuit.ended(first, 6, ok=False)
    assert circuit.enter(6) == Refused(RefusedReason.CIRCUIT_OPEN, 5)
    circuit.ended(second, 7, ok=True)
    assert state_of(circuit) is State.OPEN
    again = let_in(circuit, 11)
    circuit.ended(second, 11, ok=False)
    assert state_of(circuit) is State.HALF_OPEN, "a probe of an earlier round says nothing now"
    circuit.nothing_known(second)
    circuit.ended(again, 11, ok=True)
    circuit.ended(let_in(circuit, 11), 11, ok=True)
    assert state_of(circuit) is State.CLOSED


def test_a_probe_that_is_cancelled_gives_its_place_back() -> None:
    circuit = tripped()
    probes = [let_in(circuit, 5) for _ in range(2)]
    circuit.nothing_known(probes[0])
    assert let_in(circuit, 5) == probes[0]
    assert isinstance(circuit.enter(5), Refused)


def test_calls_from_before_it_opened_do_not_count_afterwards() -> None:
    circuit = tripped()
    circuit.ended(ORDINARY, 1, ok=True)
    circuit.nothing_known(ORDINARY)
    assert state_of(circuit) is State.OPEN
    let_in(circuit, 5)
    circuit.ended(ORDINARY, 5, ok=False)
    assert state_of(circuit) is State.HALF_OPEN


def test_it_starts_afresh_once_it_is_closed() -> None:
    circuit = tripped()
    for _ in range(2):
        circuit.ended(let_in(circuit, 5), 5, ok=True)
    for _ in range(POLICY.min_requests - 1):
        circuit.ended(ORDINARY, 5, ok=False)
    assert state_of(circuit) is State.CLOSED


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["enter", "ok", "failed", "unknown", "wait"]), st.integers(0, 20)),
        max_size=80,
    ),
    probes=st.integers(1, 3),
)
def test_no_more_probes_than_allowed_are_ever_under_way(moves: list[tuple[str, int]], probes: int) -> None:
    circuit = CircuitLedger(CircuitPolicy(min_requests=2, open_s=3, probes=probes))
    under_way: list[int] = []
    now = 0.0
    for move, which in moves:
        if move == "wait":
            now += which / 4
        elif move == "enter":
            before, entered = circuit.state, circuit.enter(now)
            if isinstance(entered, Refused):
                assert before is not State.CLOSED
                assert entered.retry_after_s > 0
            else:
                under_way.append(entered)
        elif under_way:
            ended = under_way.pop(which % len(under_way))
            if move == "unknown":
                circuit.nothing_known(ended)
            else:
                circuit.ended(ended, now, ok=move == "ok")
        if circuit.state is State.HALF_OPEN:
            newest = max(under_way, default=ORDINARY)
            assert under_way.count(newest) <= probes or newest == ORDINARY
    for ended in under_way:
        circuit.nothing_known(ended)
    # Nothing is left that could keep it from closing.
    for _ in range(probes):
        now += 5
        if circuit.state is not State.CLOSED:
            circuit.ended(let_in(circuit, now), now, ok=True)
    assert state_of(circuit) is State.CLOSED


def test_fewer_probes_are_enough_from_when_the_settings_say_so() -> None:
    circuit = tripped(replace(POLICY, probes=3))
    for _ in range(2):
        circuit.ended(let_in(circuit, 5), 5, ok=True)
    circuit.policy = POLICY
    circuit.ended(let_in(circuit, 6), 6, ok=True)
    assert state_of(circuit) is State.CLOSED


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (404, True), (429, True), (500, False), (503, False)]
)
def test_answers_of_5xx_are_failures(status: int, ok: bool) -> None:
    assert verdict_of_status(status) is ok


@pytest.mark.parametrize(
    ("side", "kind", "hurried", "verdict"),
    [
        (Side.INSTANCE, Kind.RESET, True, False),
        (Side.INSTANCE, Kind.REFUSED, False, False),
        (Side.GATEWAY, Kind.TIMEOUT, False, False),
        (Side.GATEWAY, Kind.TIMEOUT, True, None),
        (Side.GATEWAY, Kind.SATURATED, False, None),
        (Side.CLIENT, Kind.TIMEOUT, False, None),
        (Side.CLIENT, Kind.RESET, False, None),
    ],
)
def test_whose_fault_a_failure_is(side: Side, kind: Kind, hurried: bool, verdict: bool | None) -> None:
    failed = Failed(Outcome(Phase.WAIT, side, kind, sent=True), attempts=1)
    assert verdict_of_failure(failed, hurried=hurried) is verdict


def test_a_call_that_was_never_sent_says_nothing() -> None:
    assert verdict_of_failure(Failed(OUT_OF_TIME, 0), hurried=False) is None
