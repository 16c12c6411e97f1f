"""Up at once, down slowly, and a failure never makes an instance look fast."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.latency import DECAY_S, FAILED_S, LONGEST_S, SPARE, LatencyLedger
from registry.model import InstanceId, InstanceKey


def key(n: int) -> InstanceKey:
    return InstanceId(f"i{n}"), "1"


def expected(ledger: LatencyLedger, n: int, now: float) -> float:
    seconds = ledger.estimate_s(key(n), now)
    assert seconds is not None
    return seconds


def test_nothing_is_known_before_the_first_answer() -> None:
    ledger = LatencyLedger()
    assert ledger.estimate_s(key(1), 0.0) is None
    ledger.observe(key(1), 0.25, ok=True, now=1.0)
    assert ledger.estimate_s(key(1), 1.0) == 0.25


def test_a_peak_counts_at_once_and_fades() -> None:
    ledger = LatencyLedger()
    ledger.observe(key(1), 0.01, ok=True, now=0.0)
    ledger.observe(key(1), 2.0, ok=True, now=0.1)
    assert expected(ledger, 1, 0.1) == 2.0
    ledger.observe(key(1), 0.01, ok=True, now=0.2)
    assert expected(ledger, 1, 0.2) > 1.9
    assert expected(ledger, 1, 0.2 + DECAY_S) == pytest.approx(expected(ledger, 1, 0.2) * exp(-1))


def test_answers_bring_it_down_to_what_they_take() -> None:
    ledger = LatencyLedger()
    ledger.observe(key(1), 2.0, ok=True, now=0.0)
    for second in range(1, 100):
        ledger.observe(key(1), 0.5, ok=True, now=float(second))
    assert expected(ledger, 1, 99.0) == pytest.approx(0.5, rel=0.1)


@given(
    before=st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.floats(0, 20)), max_size=8),
    seconds=st.floats(0, 5),
)
def test_a_failure_makes_nobody_look_better(before: list[tuple[float, bool, float]], seconds: float) -> None:
    ledger, now = LatencyLedger(), 0.0
    for took, ok, after in before:
        now += after
        ledger.observe(key(1), took, ok=ok, now=now)
    was = ledger.estimate_s(key(1), now)
    ledger.observe(key(1), seconds, ok=False, now=now)
    least = FAILED_S if was is None else min(2 * was, LONGEST_S)
    assert expected(ledger, 1, now) >= max(least, min(seconds, LONGEST_S))


def test_who_was_waited_for_in_vain_takes_that_long_at_least() -> None:
    """Clients that leave early say nothing against an instance that is known to take longer."""
    ledger = LatencyLedger()
    ledger.observe_at_least(key(1), 1.0, now=0.0)
    assert expected(ledger, 1, 0.0) == 1.0
    ledger.observe_at_least(key(1), 0.001, now=0.0)
    assert expected(ledger, 1, 0.0) == 1.0
    ledger.observe_at_least(key(1), 3.0, now=0.0)
    assert expected(ledger, 1, 0.0) == 3.0


def test_who_only_fails_counts_as_finitely_slow() -> None:
    ledger = LatencyLedger()
    for _ in range(5000):
        ledger.observe(key(1), 0.0, ok=False, now=0.0)
    assert expected(ledger, 1, 0.0) == LONGEST_S


def test_what_is_known_of_the_departed_is_bounded() -> None:
    """The ones heard of longest ago are forgotten, and never those that answer."""
    ledger = LatencyLedger()
    ledger.expect(2)
    for n in range(1000):
        ledger.observe(key(n), 0.1, ok=True, now=float(n))
        ledger.observe(key(0), 0.1, ok=True, now=float(n))
    assert repr(ledger) == f"<LatencyLedger: {2 + SPARE} instances>"
    assert ledger.estimate_s(key(0), 1000.0) is not None
    assert ledger.estimate_s(key(1), 1000.0) is None
    assert ledger.estimate_s(key(999), 1000.0) is not None
