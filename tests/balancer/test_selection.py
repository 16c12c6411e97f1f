import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.eligibility import MANY, EligibilityLedger
from balancer.load import LoadLedger
from balancer.model import Refused, RefusedReason, Subset
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.policy import EjectionPolicy, ServicePolicy
from balancer.selection import choose, refusal
from balancer.strategies import STRATEGIES, load_strategy
from registry.model import Health, Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot

BROKEN = Outcome(Phase.WAIT, Side.INSTANCE, Kind.RESET, sent=True)
REFUSED_CONNECTION = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
NAME = ServiceName("auth")


def instance(n: int, health: Health = Health.PASSING, weight: int = 1, suspect: bool = False) -> Instance:
    return Instance(InstanceId(f"i{n}"), NAME, "h", 1000 + n, "127.0.0.1", health, weight, suspect=suspect)


def known(*instances: Instance) -> ServiceSnapshot:
    return snapshot(NAME, Status.KNOWN, instances=instances)


def pick(
    of: ServiceSnapshot,
    tried: frozenset[InstanceId] = frozenset(),
    loads: LoadLedger | None = None,
    eligible: EligibilityLedger | None = None,
    now: float = 0,
    *,
    repeatable: bool = False,
    hand_out: bool = False,
    reserves: bool = True,
    subset: Subset | None = None,
) -> Instance | Refused:
    strategy = load_strategy("least_connections", random.Random(1))
    eligible = eligible or EligibilityLedger(ServicePolicy())
    loads = loads or LoadLedger()
    return choose(
        of,
        eligible,
        loads,
        strategy,
        tried,
        b"",
        now,
        repeatable=repeatable,
        hand_out=hand_out,
        reserves=reserves,
        subset=subset,
    )


def tagged(n: int, health: Health = Health.PASSING, weight: int = 1) -> Instance:
    return replace(instance(n, health, weight), tags=("v2",))


def cooling(*failed: tuple[Instance, float]) -> EligibilityLedger:
    ledger = EligibilityLedger(ServicePolicy())
    for where, at in failed:
        ledger.ended(where, REFUSED_CONNECTION, None, at)
    return ledger


def suspecting(of: ServiceSnapshot, failed: Instance) -> EligibilityLedger:
    """The one that failed was put aside at 0, by statistics."""
    ledger = EligibilityLedger(ServicePolicy(ejection=EjectionPolicy(server_errors=1)))
    ledger.candidates(of, 0)
    ledger.ended(failed, BROKEN, None, 0)
    return ledger


@given(
    name=st.sampled_from(sorted(STRATEGIES)),
    members=st.lists(
        st.tuples(
            st.sampled_from(Health), st.integers(0, 5), st.booleans(), st.booleans(), st.integers(0, 3)
        ),
        max_size=8,
    ),
    tried=st.sets(st.integers(0, 7)),
    seed=st.integers(),
)
def test_the_chosen_is_always_usable_and_never_tried(
    name: str, members: list[tuple[Health, int, bool, bool, int]], tried: set[int], seed: int
) -> None:
    loads, eligible = LoadLedger(), EligibilityLedger(ServicePolicy())
    instances = []
    for n, (health, weight, suspect, is_cooling, load) in enumerate(members):
        # Only who was usable is ever doubted to be gone (registry/merge.py).
        one = instance(n, health, weight, suspect and health.usable)
        instances.append(one)
        if is_cooling:
            eligible.ended(one, REFUSED_CONNECTION, None, 0)
        for _ in range(load):
            loads.start(one, 0)
    of = known(*instances)
    tried_ids = frozenset(InstanceId(f"i{n}") for n in tried)
    chosen = choose(of, eligible, loads, load_strategy(name, random.Random(seed)), tried_ids, b"", 0.5)
    untried = [i for i in of.usable if i.id not in tried_ids]
    if isinstance(chosen, Refused):
        assert not untried
        some = bool(eligible.candidates(of, 0.5).instances)
        assert (chosen.reason is RefusedReason.ALL_TRIED) == some
        return
    assert chosen.id not in tried_ids
    if eligible.panic:
        assert chosen.usable or chosen.health is not Health.MAINTENANCE
        return
    assert chosen in untried
    preferred = [i for i in untried if not eligible.aside(i, 0.5) and i.weight > 0]
    assert chosen in preferred or not preferred


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (snapshot(NAME, Status.UNREACHABLE), RefusedReason.REGISTRY_UNREACHABLE),
        (snapshot(NAME, Status.UNKNOWN), RefusedReason.UNKNOWN_SERVICE),
        (known(), RefusedReason.NO_INSTANCES),
        (known(instance(2, Health.MAINTENANCE)), RefusedReason.NO_HEALTHY_INSTANCE),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_every_no_says_why(of: ServiceSnapshot, reason: RefusedReason) -> None:
    assert refusal(of) == Refused(reason)
    assert pick(of) == Refused(reason)


def test_instances_that_are_known_serve_while_the_registry_is_unreachable() -> None:
    one = instance(1)
    assert pick(snapshot(NAME, Status.UNREACHABLE, instances=(one,))) == one


def test_nothing_is_left_when_all_were_tried() -> None:
    of = known(instance(1), instance(2))
    tried = frozenset(i.id for i in of.usable)
    assert pick(of, tried) == Refused(RefusedReason.ALL_TRIED)


def test_the_dead_instance_with_no_load_gets_nothing_while_it_cools_down() -> None:
    """RELIABILITY 1.4: without this, least-connections sends everything there."""
    dead, busy = instance(1), instance(2)
    loads = LoadLedger()
    for _ in range(50):
        assert pick(known(dead, busy), loads=loads, eligible=cooling((dead, 0))) == busy
        loads.start(busy, 0)


def test_when_all_are_unreachable_one_call_finds_out_and_the_others_are_refused_at_once() -> None:
    first, second = instance(1), instance(2)
    of, eligible = known(first, second), cooling((second, 0), (first, 0.5))
    assert pick(of, eligible=eligible, now=0.6) == second
    refused = pick(of, eligible=eligible, now=0.65)
    assert refused == Refused(RefusedReason.NO_HEALTHY_INSTANCE, retry_after_s=1)
    assert pick(of, frozenset({second.id}), eligible=eligible, now=0.75) == first


def test_one_whose_time_is_over_gets_one_call_that_may_be_repeated() -> None:
    fine, back = instance(1), instance(2)
    of = known(fine, back)
    eligible = suspecting(of, back)
    assert pick(of, eligible=eligible, now=2) == fine, "lost if the probe fails"
    assert pick(of, eligible=eligible, now=2, hand_out=True) == fine, "we would not see how it ends"
    assert pick(of, eligible=eligible, now=2, repeatable=True) == back
    eligible.starting(back, 2)
    assert pick(of, eligible=eligible, now=2.1, repeatable=True) == fine


def test_a_hand_out_finds_out_nothing() -> None:
    fine, back = instance(1), instance(2)
    eligible = cooling((back, 0))
    assert pick(known(fine, back), eligible=eligible, now=2, hand_out=True) == fine
    assert pick(known(fine, back), eligible=eligible, now=2) == back


def test_a_call_that_cannot_be_repeated_probes_when_no_other_came() -> None:
    fine, back = instance(1), instance(2)
    of = known(fine, back)
    eligible = suspecting(of, back)
    assert pick(of, eligible=eligible, now=3.9) == fine
    assert pick(of, eligible=eligible, now=4) == back


def test_an_untried_one_that_cools_down_comes_before_giving_up() -> None:
    fine, cold = instance(1), instance(2)
    assert pick(known(fine, cold), frozenset({fine.id}), eligible=cooling((cold, 0))) == cold


def test_who_can_wait_for_a_candidate_gets_nobody_else() -> None:
    full, cold = instance(1), instance(2)
    eligible, excluded = cooling((cold, 0)), frozenset({full.id})
    assert pick(known(full, cold), excluded, eligible=eligible) == cold
    refused = pick(known(full, cold), excluded, eligible=eligible, reserves=False)
    assert refused == Refused(RefusedReason.ALL_TRIED)
    assert pick(known(cold), eligible=eligible, reserves=False) == cold, "there is nobody to wait for"


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_of_very_many_who_failed_a_moment_ago_is_not_picked(name: str) -> None:
    many = [instance(n) for n in range(MANY + 1)]
    of, eligible, loads = known(*many), EligibilityLedger(ServicePolicy()), LoadLedger()
    strategy, dead = load_strategy(name, random.Random(1)), set()
    for _ in range(100):
        chosen = choose(of, eligible, loads, strategy, frozenset(), b"k", 0)
        assert isinstance(chosen, Instance)
        assert chosen.id not in dead
        dead.add(chosen.id)
        eligible.ended(chosen, REFUSED_CONNECTION, None, 0)
    others = frozenset(i.id for i in many if i.id not in dead)
    assert isinstance(choose(of, eligible, loads, strategy, others, b"k", 0), Instance), "a reserve"


def test_in_panic_calls_go_to_critical_ones_but_they_are_not_handed_out() -> None:
    of = known(instance(1, Health.CRITICAL))
    assert refusal(of) is None
    assert pick(of) == of.instances[0]
    assert pick(of, hand_out=True) == Refused(RefusedReason.NO_HEALTHY_INSTANCE)


def test_the_own_zone_comes_first_while_it_has_room() -> None:
    near, far = replace(instance(1), zone="a"), replace(instance(2), zone="b")
    loads, eligible = LoadLedger(), EligibilityLedger(ServicePolicy(zone="a", zone_room=3))
    went = []
    for _ in range(5):
        chosen = pick(known(near, far), loads=loads, eligible=eligible)
        assert isinstance(chosen, Instance)
        loads.start(chosen, 0)
        went.append(chosen)
    assert went == [near, near, near, far, far]
    assert pick(known(near, far), frozenset({near.id}), eligible=eligible) == far


def test_weight_zero_serves_only_when_nobody_else_does() -> None:
    parked, working = instance(1, weight=0), instance(2)
    assert pick(known(parked, working)) == working
    assert pick(known(parked)) == parked


def test_hand_outs_count_until_they_expire() -> None:
    handed_out, other = instance(1, weight=2), instance(2, weight=1)
    loads = LoadLedger()
    for _ in range(4):
        loads.hand_out(handed_out, now=0, ttl_s=10)
    of = known(handed_out, other)
    assert pick(of, loads=loads, now=9) == other
    assert pick(of, loads=loads, now=10) == handed_out


INSIDE, OUTSIDE = Subset("v2"), Subset("v2", inside=False)
RATHER = Subset("v2", or_others=True)
"""Inside, or else outside."""


@given(
    name=st.sampled_from(sorted(STRATEGIES)),
    members=st.lists(
        st.tuples(st.sampled_from(Health), st.integers(0, 3), st.booleans(), st.booleans()), max_size=12
    ),
    subset=st.sampled_from([INSIDE, OUTSIDE, RATHER, replace(RATHER, inside=False)]),
    tried=st.sets(st.integers(0, 11)),
    zone=st.sampled_from(["", "a"]),
    seed=st.integers(),
)
def test_nobody_outside_of_the_subset_is_chosen_while_somebody_inside_is_in_order(
    name: str,
    members: list[tuple[Health, int, bool, bool]],
    subset: Subset,
    tried: set[int],
    zone: str,
    seed: int,
) -> None:
    eligible = EligibilityLedger(ServicePolicy(zone=zone))
    instances = []
    for n, (health, weight, with_tag, is_cooling) in enumerate(members):
        one = (tagged if with_tag else instance)(n, health, weight)
        instances.append(replace(one, zone="a" if n % 3 else "b"))
        if is_cooling:
            eligible.ended(instances[-1], REFUSED_CONNECTION, None, 0)
    of = known(*instances)
    tried_ids = frozenset(InstanceId(f"i{n}") for n in tried)
    strategy, loads = load_strategy(name, random.Random(seed)), LoadLedger()
    chosen = choose(of, eligible, loads, strategy, tried_ids, b"key", 0.5, subset=subset)
    if isinstance(chosen, Refused):
        return
    assert chosen.id not in tried_ids
    in_order = [i for i in of.usable if subset.holds(i.tags) and not eligible.aside(i, 0.5)]
    assert subset.holds(chosen.tags) or (subset.or_others and not in_order)


@pytest.mark.parametrize(
    ("members", "subset", "chosen"),
    [
        ([instance(1), tagged(2)], INSIDE, "i2"),
        ([instance(1), tagged(2)], OUTSIDE, "i1"),
        ([instance(1), tagged(2, weight=0)], INSIDE, "i2"),
        ([instance(1), tagged(2, Health.CRITICAL)], INSIDE, "i2"),
        ([instance(1), tagged(2, Health.CRITICAL)], RATHER, "i1"),
        ([instance(1), tagged(2, Health.MAINTENANCE)], RATHER, "i1"),
        ([instance(1, Health.CRITICAL), tagged(2, Health.CRITICAL)], RATHER, "i2"),
        ([instance(1, Health.CRITICAL)], RATHER, "i1"),
        ([instance(1)], RATHER, "i1"),
        ([instance(1)], INSIDE, RefusedReason.NO_INSTANCES),
        ([tagged(1)], OUTSIDE, RefusedReason.NO_INSTANCES),
        ([instance(1), tagged(2, Health.MAINTENANCE)], INSIDE, RefusedReason.NO_HEALTHY_INSTANCE),
        ([], INSIDE, RefusedReason.NO_INSTANCES),
    ],
)
def test_who_is_chosen_of_a_subset(members: list[Instance], subset: Subset, chosen: str) -> None:
    picked = pick(known(*members), subset=subset)
    assert chosen == (picked.reason if isinstance(picked, Refused) else picked.id)


def test_a_second_try_stays_in_the_subset() -> None:
    of = known(instance(1), tagged(2), tagged(3))
    first = pick(of, subset=RATHER)
    assert isinstance(first, Instance)
    second = pick(of, frozenset({first.id}), subset=RATHER)
    assert isinstance(second, Instance)
    assert {first.id, second.id} == {"i2", "i3"}
    assert pick(of, frozenset({first.id, second.id}), subset=RATHER) == Refused(RefusedReason.ALL_TRIED)


def test_a_side_that_was_put_aside_for_its_errors_is_left_to_its_probes() -> None:
    fine, bad = instance(1), tagged(2)
    of = known(fine, bad)
    eligible = suspecting(of, bad)
    assert pick(of, eligible=eligible, now=1, subset=RATHER) == fine
    assert pick(of, eligible=eligible, now=1, subset=INSIDE) == bad, "that was asked for"
    assert pick(of, eligible=eligible, now=2, repeatable=True, subset=RATHER) == bad, "its time is over"
    eligible.starting(bad, 2)
    assert pick(of, eligible=eligible, now=2.1, repeatable=True, subset=RATHER) == fine


def test_only_calls_to_its_subset_find_out_whether_an_instance_is_back() -> None:
    fine, back = instance(1), tagged(2)
    of, eligible = known(fine, back), cooling((back, 0))
    assert pick(of, eligible=eligible, now=1.9, subset=RATHER) == fine
    assert pick(of, eligible=eligible, now=2.1, repeatable=True, subset=OUTSIDE) == fine
    assert pick(of, eligible=eligible, now=2.1, repeatable=True, subset=RATHER) == back


def test_a_subset_of_very_many_is_looked_through_once() -> None:
    of = known(*(tagged(n) for n in range(50)), *(instance(n) for n in range(50, 60)))
    eligible = EligibilityLedger(ServicePolicy())
    among = eligible.candidates(of, 0, subset=INSIDE)
    assert (len(among), len(eligible.candidates(of, 0))) == (50, 60)
    assert eligible.candidates(of, 1, subset=INSIDE) is among
    assert eligible.candidates(of, 1, subset=replace(RATHER)) is among


@pytest.mark.parametrize("subset", [INSIDE, RATHER])
def test_of_very_many_only_those_of_the_subset_are_looked_at_again(subset: Subset) -> None:
    """Candidates of many are derived with patience; who failed since then is known all the same."""
    few = [tagged(n) for n in range(2)]
    of, eligible = known(*few, *(instance(n) for n in range(2, MANY + 2))), EligibilityLedger(ServicePolicy())
    for _ in few:
        failed = pick(of, eligible=eligible, subset=subset)
        assert failed in few
        assert isinstance(failed, Instance)
        eligible.ended(failed, REFUSED_CONNECTION, None, 0)
    left = pick(of, eligible=eligible, subset=subset)
    assert isinstance(left, Instance)
    assert (left in few) is (subset is INSIDE), "the next best of a subset is its own reserve"


def test_whose_own_side_does_not_exist_is_told_of_the_others() -> None:
    one = instance(1)
    of, eligible = known(one), cooling((one, 0))
    assert pick(of, eligible=eligible, now=0.6, subset=RATHER) == one
    assert pick(of, eligible=eligible, now=0.65, subset=RATHER) == Refused(RefusedReason.NO_HEALTHY_INSTANCE)
    assert pick(of, eligible=eligible, now=0.65, subset=INSIDE) == Refused(RefusedReason.NO_INSTANCES)
