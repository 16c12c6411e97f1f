from dataclasses import replace

import pytest

from balancer.candidates import Candidates
from balancer.eligibility import EVERY_S, MANY, PATIENCE_S, EligibilityLedger
from balancer.hints import AnswerHints
from balancer.model import Subset
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.outlier import Reason
from balancer.places import SPARED
from balancer.policy import EjectionPolicy, ServicePolicy
from registry.model import (
    Health,
    Instance,
    InstanceId,
    ServiceName,
    ServiceSnapshot,
    Status,
    Verdict,
    snapshot,
)

REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
TIMEOUT = Outcome(Phase.WAIT, Side.INSTANCE, Kind.TIMEOUT, sent=True)
SERVICE = ServiceName("s")
BASE_S = 2.0
NOBODY_TRIED: frozenset[InstanceId] = frozenset()


def instance(n: int, weight: int = 1) -> Instance:
    return Instance(InstanceId(f"i{n}"), SERVICE, "h", 1000 + n, "127.0.0.1", weight=weight)


def known(*instances: Instance) -> ServiceSnapshot:
    return snapshot(SERVICE, Status.KNOWN, instances=instances)


def ledger(
    ejection: EjectionPolicy | None = None, *, slow_start_s: float = 0, zone: str = ""
) -> EligibilityLedger:
    ejection = ejection or EjectionPolicy()
    return EligibilityLedger(ServicePolicy(ejection=ejection, slow_start_s=slow_start_s, zone=zone))


def fail(eligible: EligibilityLedger, where: Instance, now: float, outcome: Outcome = REFUSED) -> None:
    eligible.starting(where, now)
    eligible.ended(where, outcome, None, now, now)


def answer(eligible: EligibilityLedger, where: Instance, now: float, status: int = 200) -> None:
    eligible.starting(where, now)
    eligible.answered(where, status, None, now, now)
    eligible.ended(where, SUCCESS, status, now, now)


def weights(among: Candidates) -> dict[str, float]:
    return {i.id: weight for i, weight in zip(among.instances, among.weights, strict=True)}


ONE, TWO, THREE, FOUR = (instance(n) for n in range(1, 5))


def test_candidates_are_the_same_object_until_something_changes() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    among = eligible.candidates(of, 0)
    answer(eligible, ONE, 0.5)
    answer(eligible, ONE, 0.5, status=404)
    fail(eligible, TWO, 0.6, TIMEOUT)
    assert eligible.candidates(of, 1) is among
    assert eligible.candidates(known(ONE, TWO), 1) is among
    assert eligible.candidates(known(ONE), 1).instances == (ONE,)


def test_who_refused_a_connection_is_a_reserve_until_its_probe_is_answered() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    eligible.candidates(of, 0)
    fail(eligible, ONE, 0)
    among = eligible.candidates(of, 0.1)
    assert (among.instances, among.reserves) == ((TWO,), (ONE,))
    assert eligible.aside(ONE, 0.1)
    assert eligible.candidates(of, BASE_S + 5).instances == (TWO,), "no probe, no return"
    assert eligible.probe(of, NOBODY_TRIED, BASE_S, repeatable=False) is ONE
    answer(eligible, ONE, BASE_S)
    assert eligible.candidates(of, BASE_S).instances == (ONE, TWO)
    assert eligible.ejected_total[Reason.CONNECT_FAILURES] == 1


def test_nobody_is_probed_while_all_is_well_or_before_its_time() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    assert eligible.probe(of, NOBODY_TRIED, 0, repeatable=True) is None
    fail(eligible, ONE, 0)
    assert eligible.probe(of, NOBODY_TRIED, BASE_S - 0.1, repeatable=True) is None
    assert eligible.probe(of, frozenset({ONE.id}), BASE_S, repeatable=True) is None
    assert eligible.probe(known(TWO), NOBODY_TRIED, BASE_S, repeatable=True) is None, "it has left"


def test_who_wants_fewer_calls_has_a_tenth_of_its_weight_for_as_long() -> None:
    eligible, of = ledger(), known(ONE, TWO, THREE)
    before = eligible.candidates(of, 0)
    eligible.answered(ONE, 429, AnswerHints(slow_s=1), 0)
    eligible.answered(TWO, 503, AnswerHints(slow_s=5), 0)
    assert weights(eligible.candidates(of, 0.5)) == {"i1": SPARED, "i2": SPARED, "i3": 1}
    assert weights(eligible.candidates(of, 1)) == {"i1": 1, "i2": SPARED, "i3": 1}
    assert eligible.candidates(of, 5).weights == before.weights


def test_with_too_few_left_the_verdicts_are_not_believed() -> None:
    critical = replace(THREE, health=Health.CRITICAL)
    down = replace(FOUR, verdict=Verdict.DOWN)
    leaving = replace(instance(5), health=Health.MAINTENANCE)
    eligible, of = ledger(), known(ONE, TWO, critical, down, leaving)
    calm = eligible.candidates(of, 0)
    assert (calm.panic, calm.instances) == (False, (ONE, TWO))
    fail(eligible, ONE, 0)
    wild = eligible.candidates(of, 0)
    assert (eligible.panic, wild.panic) == (True, True)
    assert wild.instances == (TWO, critical, down), "but in maintenance it is an operator's word"
    assert wild.reserves == (ONE,), "and who takes no connections is certain"
    healthy = eligible.candidates(of, 0, hand_out=True)
    assert healthy.instances == (TWO,), "a hand-out promises a healthy one"
    assert eligible.candidates(of, 0) is wild


def test_statistics_are_put_aside_in_panic() -> None:
    eligible, of = ledger(EjectionPolicy(server_errors=1)), known(ONE, TWO, THREE)
    eligible.candidates(of, 0)
    fail(eligible, ONE, 0, TIMEOUT)
    assert eligible.candidates(of, 0).instances == (TWO, THREE)
    fail(eligible, TWO, 0)
    assert eligible.candidates(of, 0).instances == (THREE, ONE)


def test_without_a_panic_threshold_there_is_no_panic() -> None:
    eligible, of = ledger(EjectionPolicy(panic_percent=0)), known(replace(ONE, health=Health.CRITICAL))
    assert eligible.candidates(of, 0).instances == ()
    assert not eligible.panic


def test_parked_ones_serve_together_when_nobody_else_does() -> None:
    parked = [instance(n, weight=0) for n in (7, 8)]
    eligible, of = ledger(), known(ONE, *parked)
    assert eligible.candidates(of, 0).instances == (ONE,)
    fail(eligible, ONE, 0)
    among = eligible.candidates(of, 0)
    assert (among.instances, among.weights) == (tuple(parked), (1, 1))


def test_while_all_are_unreachable_one_call_in_a_tenth_of_a_second_goes_out() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    fail(eligible, TWO, 0)
    fail(eligible, ONE, 0.1)
    among = eligible.candidates(of, 0.2)
    assert among.instances == ()
    assert eligible.reserve(among, NOBODY_TRIED, 0.2) is TWO, "its time ends first"
    assert eligible.reserve(among, NOBODY_TRIED, 0.2 + EVERY_S / 2) is None
    fail(eligible, TWO, 0.2)
    assert eligible.reserve(among, NOBODY_TRIED, 0.2 + EVERY_S) is ONE, "who was asked longest ago"
    eligible.starting(ONE, 0.2 + EVERY_S)
    assert eligible.reserve(among, frozenset({TWO.id}), 0.2 + 2 * EVERY_S) is None, "one at a time"
    eligible.answered(ONE, 200, None, 0.5, 0.2 + EVERY_S)
    assert eligible.candidates(of, 0.5).instances == (ONE,)


def test_a_hand_out_takes_no_turn_and_gets_none_before_its_time() -> None:
    eligible, of = ledger(), known(ONE)
    fail(eligible, ONE, 0)
    among = eligible.candidates(of, 0)
    assert eligible.reserve(among, NOBODY_TRIED, 0, hand_out=True) is None
    assert eligible.reserve(among, NOBODY_TRIED, BASE_S, hand_out=True) is ONE


def test_instances_of_the_own_zone_stand_apart() -> None:
    near, far = replace(ONE, zone="a"), replace(TWO, zone="b")
    eligible, of = ledger(zone="a"), known(near, far)
    among = eligible.candidates(of, 0)
    assert among.local is not None
    assert (among.instances, among.local.instances) == ((near, far), (near,))
    fail(eligible, near, 0)
    assert eligible.candidates(of, 0).local is None


def test_a_newcomer_starts_slowly() -> None:
    eligible = ledger(slow_start_s=10.0)
    assert weights(eligible.candidates(known(ONE, TWO), 0)) == {"i1": 1, "i2": 1}
    of, seen = known(ONE, TWO, THREE), []
    for tenth in range(111):
        among = eligible.candidates(of, 5 + tenth / 10)
        if among not in seen:
            seen.append(among)
    shares = [weights(among)["i3"] for among in seen]
    assert (shares[0], shares[-1]) == (0.1, 1.0)
    assert shares == sorted(shares)
    assert len(seen) <= 11


def test_who_comes_back_from_being_put_aside_starts_slowly_too() -> None:
    eligible, of = ledger(slow_start_s=10.0), known(ONE, TWO)
    eligible.candidates(of, 0)
    fail(eligible, ONE, 0)
    answer(eligible, ONE, BASE_S)
    assert weights(eligible.candidates(of, BASE_S)) == {"i1": 0.1, "i2": 1}


def test_callers_reports_put_aside_what_several_complain_of() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    eligible.candidates(of, 0)
    for _ in range(100):
        eligible.reported(ONE.key, "10.0.0.1", ok=False, now=0)
    assert not eligible.aside(ONE, 0)
    eligible.reported(ONE.key, "10.0.0.2", ok=False, now=0)
    assert eligible.aside(ONE, 0)
    assert eligible.ejected_total[Reason.REPORTS] == 1
    assert eligible.candidates(of, BASE_S).instances == (ONE, TWO), "nobody needs to probe: it was hearsay"


def test_reports_of_nobody_known_are_nothing() -> None:
    eligible = ledger()
    for caller in "abc":
        for _ in range(5):
            eligible.reported(ONE.key, caller, ok=False, now=0)
    assert eligible.candidates(known(ONE, TWO), 0).instances == (ONE, TWO)


def test_of_very_many_candidates_are_not_derived_for_each_that_fails() -> None:
    many = [instance(n) for n in range(MANY + 1)]
    eligible, of, patience_s = ledger(), known(*many), (MANY + 1) * PATIENCE_S
    among = eligible.candidates(of, 0)
    for where in many[:10]:
        fail(eligible, where, 0)
    assert eligible.candidates(of, patience_s * 0.9) is among
    assert eligible.fresh == {where.id for where in many[:10]}
    assert eligible.candidates(of, patience_s).instances == tuple(many[10:])
    assert eligible.fresh == frozenset()
    fail(eligible, many[10], 1)
    assert eligible.renew(of, 1).instances == tuple(many[11:])


def test_a_new_policy_holds_at_once() -> None:
    eligible, of = ledger(EjectionPolicy(server_errors=1)), known(ONE, TWO)
    eligible.candidates(of, 0)
    fail(eligible, ONE, 0, TIMEOUT)
    assert eligible.candidates(of, 0).instances == (TWO,)
    eligible.policy = replace(eligible.policy, ejection=EjectionPolicy(max_percent=0))
    assert eligible.candidates(of, 0).instances == (ONE, TWO)


def test_states_tell_what_is_held_against_each() -> None:
    eligible, of = ledger(), known(ONE, TWO)
    eligible.candidates(of, 0)
    fail(eligible, ONE, 0)
    one, two = eligible.states(of, 0.5)
    assert (one.aside, one.until_in_s, one.weight, one.ejections) == ("connect_failures", 1.5, 0, 1)
    assert (two.aside, two.until_in_s, two.weight, two.ejections) == (None, 0, 1, 0)
    assert repr(eligible) == "<EligibilityLedger: 1 candidates, 1 reserves>"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_counted_from_the_beginning(reason: Reason) -> None:
    assert ledger().ejected_total[reason] == 0


def test_in_a_subset_a_newcomer_comes_up_to_its_weight_although_most_of_the_service_is_new() -> None:
    eligible, inside = ledger(slow_start_s=10), Subset("v2")
    old, new = (replace(one, tags=("v2",)) for one in (ONE, TWO))
    eligible.candidates(known(old), 0)
    of = known(old, new, THREE, FOUR)
    assert weights(eligible.candidates(of, 0)) == {"i1": 1, "i2": 1, "i3": 1, "i4": 1}
    assert weights(eligible.candidates(of, 0, subset=inside)) == {"i1": 1, "i2": pytest.approx(0.1)}
    assert weights(eligible.candidates(of, 10, subset=inside)) == {"i1": 1, "i2": 1}
