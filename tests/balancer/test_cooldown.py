from hypothesis import given
from hypothesis import strategies as st

from balancer.cooldown import FIRST_S, FORGET_AFTER_S, LONGEST_S, CooldownLedger
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from registry.model import Instance
from tests.balancer.test_load import instance

REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
SLOW_TO_CONNECT = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.TIMEOUT, sent=False)
A = instance("a")


def fail(ledger: CooldownLedger, now: float, where: Instance = A) -> None:
    ledger.starting(where, now)
    ledger.ended(where, REFUSED, now)


def test_a_refused_connection_puts_an_instance_aside_at_once() -> None:
    ledger = CooldownLedger()
    assert not ledger.cooling(A, 5)
    fail(ledger, 5)
    assert ledger.cooling(A, 5)
    assert ledger.cooling(A, 5 + FIRST_S - 0.001)
    assert not ledger.cooling(A, 5 + FIRST_S)
    assert not ledger.cooling(instance("a", "the next process"), 5)


def test_a_connection_that_is_never_made_counts_too() -> None:
    ledger = CooldownLedger()
    ledger.ended(A, SLOW_TO_CONNECT, 0)
    assert ledger.cooling(A, 0)


def test_cool_downs_double_up_to_a_limit() -> None:
    ledger = CooldownLedger()
    now, steps = 0.0, []
    for _ in range(8):
        fail(ledger, now)
        steps.append(ledger.until(A) - now)
        now = ledger.until(A)
    assert steps == [1, 2, 4, 8, 16, 30, 30, 30]
    assert steps[-1] == LONGEST_S


def test_an_answer_forgets_everything() -> None:
    ledger = CooldownLedger()
    fail(ledger, 0)
    fail(ledger, 1)
    ledger.answered(A)
    assert not ledger.cooling(A, 1)
    fail(ledger, 2)
    assert ledger.until(A) == 2 + FIRST_S


def test_many_calls_that_meet_one_fault_count_once() -> None:
    ledger = CooldownLedger()
    for _ in range(50):
        ledger.starting(A, 0)
    for straggler in range(50):
        ledger.ended(A, REFUSED, straggler / 100)
    assert ledger.until(A) == FIRST_S


def test_after_the_cool_down_one_call_probes_and_the_others_wait_for_it() -> None:
    ledger = CooldownLedger()
    fail(ledger, 0)
    assert not ledger.cooling(A, 1)
    ledger.starting(A, 1)
    assert ledger.cooling(A, 1)
    ledger.ended(A, REFUSED, 1.01)
    assert ledger.until(A) == 1.01 + 2 * FIRST_S


def test_a_probe_that_ends_without_a_word_lets_the_next_one_probe() -> None:
    """A client that hangs up says nothing about the instance."""
    ledger = CooldownLedger()
    fail(ledger, 0)
    ledger.starting(A, 1)
    ledger.ended(A, Outcome(Phase.CONNECT, Side.CLIENT, Kind.CANCELLED, sent=False), 1.2)
    assert not ledger.cooling(A, 1 + FIRST_S)


def test_tries_during_an_outage_of_all_do_not_lengthen_it() -> None:
    """Else the first one back would carry everything for 30 s."""
    ledger = CooldownLedger()
    for tenth in range(9):
        fail(ledger, tenth / 10)
    assert ledger.until(A) == FIRST_S


@given(
    phase=st.sampled_from(Phase),
    side=st.sampled_from(Side),
    kind=st.sampled_from(Kind),
    sent=st.booleans(),
)
def test_only_a_connection_the_instance_did_not_take_counts(
    phase: Phase, side: Side, kind: Kind, sent: bool
) -> None:
    ledger = CooldownLedger()
    ledger.ended(A, Outcome(phase, side, kind, sent), 0)
    assert ledger.cooling(A, 0) == (phase is Phase.CONNECT and side is Side.INSTANCE and kind is not Kind.OK)


def test_the_end_of_an_old_answer_does_not_vouch_for_a_dead_instance() -> None:
    ledger = CooldownLedger()
    fail(ledger, 0)
    ledger.ended(A, SUCCESS, 0.5)
    assert ledger.cooling(A, 0.5)


def test_instances_that_left_are_forgotten() -> None:
    ledger = CooldownLedger()
    for n in range(100):
        fail(ledger, n, instance(f"gone-{n}"))
    assert repr(ledger) == "<CooldownLedger: 61 instances>"
    fail(ledger, 100 + FIRST_S + FORGET_AFTER_S)
    assert len(ledger) == 1


def test_a_storm_of_failures_stays_bounded() -> None:
    ledger = CooldownLedger(max_entries=50)
    for n in range(200):
        fail(ledger, 0, instance(f"i{n}"))
    assert len(ledger) == 50
    assert ledger.cooling(instance("i199"), 0)
