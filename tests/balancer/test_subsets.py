from dataclasses import replace
from math import inf

import pytest

from balancer.policy import ServicePolicy
from balancer.record import Reason, Record
from balancer.subsets import NO_VIEW, SubsetViews, View, better_of, view_of
from registry.model import Health, Instance, InstanceId, ServiceName

POLICY = ServicePolicy(slow_start_s=10)


def record(
    name: str,
    *tags: str,
    health: Health = Health.PASSING,
    weight: int = 1,
    zone: str = "",
    reason: Reason | None = None,
) -> Record:
    made = Record(
        Instance(
            InstanceId(name), ServiceName("s"), "h", 1, "127.0.0.1", health, weight, tags=tags, zone=zone
        )
    )
    made.left_at = inf if made.instance.usable else 0
    made.reason = reason
    return made


def views(*records: Record) -> SubsetViews:
    made = SubsetViews()
    made.turn(records)
    return made


def names(view: View) -> tuple[str, str, str]:
    """Candidates and reserves when all is calm, and candidates in panic."""
    parts = (view.calm.instances, view.calm.reserves, view.current.instances)
    calm, reserves, current = (" ".join(i.id for i in part) for part in parts)
    return calm, reserves, current


def side(of: SubsetViews, *, inside: bool, policy: ServicePolicy = POLICY) -> View:
    return of.look("v2", policy, 0, inside=inside)[0]


def test_each_instance_is_on_one_side() -> None:
    of = views(record("old"), record("new", "v2"), record("newer", "v3", "v2"), record("other", "v20"))
    assert names(side(of, inside=True)) == ("new newer", "", "new newer")
    assert names(side(of, inside=False)) == ("old other", "", "old other")
    assert [side(of, inside=inside).known for inside in (True, False)] == [2, 2]


def test_a_side_is_judged_as_if_it_were_the_whole_service() -> None:
    fine = [record(f"old-{n}") for n in range(9)]
    sick = [record(f"new-{n}", "v2", health=Health.CRITICAL) for n in range(2)]
    of = views(*fine, record("new", "v2"), *sick)
    assert names(side(of, inside=True)) == ("new", "", "new new-0 new-1"), "one in three is in order"
    assert not side(of, inside=False).current.panic


@pytest.mark.parametrize(
    ("one", "names_of_it"),
    [
        (record("parked", "v2", weight=0), ("parked", "", "parked")),
        (record("suspected", "v2", reason=Reason.SERVER_ERRORS), ("suspected", "", "suspected")),
        (record("dead", "v2", reason=Reason.CONNECT_FAILURES), ("", "dead", "")),
        (record("resting", "v2", health=Health.MAINTENANCE), ("", "", "")),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value.instance.id),
)
def test_the_next_best_of_a_side_serve_when_none_of_it_is_ready(
    one: Record, names_of_it: tuple[str, str, str]
) -> None:
    of = views(record("ready"), one)
    assert names(side(of, inside=True)) == names_of_it
    assert side(of, inside=True).known == 1


def test_a_side_has_local_ones_of_its_own() -> None:
    policy = replace(POLICY, zone="a")
    here, there = record("here", "v2", zone="a"), record("there", "v2", zone="b")
    of = views(record("old", zone="a"), here, there)
    local = side(of, inside=True, policy=policy).current.local
    assert local is not None
    assert [i.id for i in local.instances] == ["here"]
    assert side(of, inside=False, policy=policy).current.local is None, "all of them are"


def test_a_view_is_the_same_object_until_something_about_it_changes() -> None:
    old, new = record("old"), record("new", "v2")
    of = views(old, new)
    before, until = of.look("v2", POLICY, 0, inside=True)
    assert (until, of.known) == (inf, {("v2", True): before})
    of.turn([old, record("older"), new])
    assert not of.known
    assert side(of, inside=True).current is before.current
    assert len(side(of, inside=False).current) == 2
    of.turn([old])
    of.turn([old, new])
    again = side(of, inside=True)
    assert (names(again), again.current is before.current) == (names(before), False), "it was forgotten"


def test_a_view_holds_no_longer_than_the_weights_in_it() -> None:
    new = record("new", "v2")
    new.new_at = 0
    of = views(record("old"), new)
    assert of.look("v2", POLICY, 0, inside=True)[1] < 10
    assert of.look("v2", POLICY, 0, inside=False)[1] == inf


READY = view_of([record("ready")], POLICY, 0, NO_VIEW)[0]
PANIC = view_of([record("critical", health=Health.CRITICAL)], POLICY, 0, NO_VIEW)[0]
DEAD = view_of([record("dead", reason=Reason.CONNECT_FAILURES)], POLICY, 0, NO_VIEW)[0]


SUSPECTED = view_of([record("suspected", reason=Reason.SERVER_ERRORS)], POLICY, 0, NO_VIEW)[0]
PARKED = view_of([record("parked", weight=0)], POLICY, 0, NO_VIEW)[0]


@pytest.mark.parametrize(
    ("wished", "others", "is_the_wished"),
    [
        (SUSPECTED, READY, False),
        (SUSPECTED, DEAD, True),
        (PARKED, READY, True),
        (READY, READY, True),
        (PANIC, READY, False),
        (DEAD, READY, False),
        (NO_VIEW, READY, False),
        (PANIC, DEAD, True),
        (DEAD, PANIC, True),
        (NO_VIEW, PANIC, False),
    ],
)
def test_others_do_while_none_of_the_wished_is_in_order(
    wished: View, others: View, is_the_wished: bool
) -> None:
    assert (better_of(wished, others) is wished) is (is_the_wished or wished is others)
