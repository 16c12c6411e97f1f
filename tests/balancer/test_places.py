from dataclasses import replace
from math import inf

import pytest

from balancer.candidates import candidates
from balancer.places import SPARED, Places, kept, places
from balancer.policy import ServicePolicy
from balancer.record import Reason, Record
from registry.model import Health, Instance, InstanceId, ServiceName, Verdict

POLICY = ServicePolicy(slow_start_s=10)


def record(
    name: str,
    health: Health = Health.PASSING,
    verdict: Verdict = Verdict.UNCHECKED,
    *,
    weight: int = 1,
    reason: Reason | None = None,
    until: float = 0,
) -> Record:
    made = Record(
        Instance(InstanceId(name), ServiceName("s"), "h", 1, "127.0.0.1", health, weight, verdict=verdict)
    )
    made.left_at = inf if made.instance.usable else 0
    made.reason, made.until = reason, until
    return made


def names(instances: tuple[Instance, ...]) -> str:
    return " ".join(i.id for i in instances)


def shown(stand: Places, *, panic: bool = False) -> tuple[str, str]:
    among, _ = stand.candidates(POLICY, 0, panic=panic)
    return names(among.instances), names(among.reserves)


READY = record("ready")
PARKED = record("parked", weight=0)
SUSPECTED = record("suspected", reason=Reason.SERVER_ERRORS)
UNREACHABLE = record("unreachable", reason=Reason.CONNECT_FAILURES)
CRITICAL = record("critical", Health.CRITICAL)
DOWN = record("down", verdict=Verdict.DOWN)
GONE = record("gone", Health.CRITICAL, reason=Reason.CONNECT_FAILURES)
RESTING = record("resting", Health.MAINTENANCE)
ALL = [READY, PARKED, SUSPECTED, UNREACHABLE, CRITICAL, DOWN, GONE, RESTING]


def test_each_has_its_place() -> None:
    assert shown(places(ALL)) == ("ready", "parked suspected unreachable")
    assert shown(places(ALL), panic=True) == (
        "ready suspected critical down",
        "parked unreachable gone",
    )


def test_the_next_best_take_over_when_nobody_is_ready() -> None:
    assert shown(places([PARKED, SUSPECTED, UNREACHABLE])) == ("parked", "suspected unreachable")
    assert shown(places([SUSPECTED, UNREACHABLE])) == ("suspected", "unreachable")
    assert shown(places([UNREACHABLE, CRITICAL])) == ("", "unreachable")


def test_in_panic_the_doubted_without_weight_come_where_the_parked_do() -> None:
    doubted = [
        record("doubted", weight=0, reason=Reason.SERVER_ERRORS),
        record("ill", Health.CRITICAL, weight=0),
    ]
    assert shown(places([READY, PARKED, *doubted]), panic=True) == ("ready", "parked doubted ill")
    assert shown(places([*doubted, UNREACHABLE]), panic=True) == ("doubted ill", "unreachable")


def test_reserves_stand_in_the_order_of_their_return() -> None:
    later, sooner = (record(name, reason=Reason.SELF, until=until) for name, until in (("b", 9), ("a", 5)))
    assert shown(places([READY, later, sooner])) == ("ready", "a b")


@pytest.mark.parametrize(
    ("fine", "others", "percent", "few"),
    [(1, 1, 50, False), (1, 2, 50, True), (0, 1, 50, True), (0, 1, 0, False), (0, 0, 50, False)],
)
def test_panic_begins_below_the_share(fine: int, others: int, percent: int, few: bool) -> None:
    assert places([READY] * fine + [GONE] * others).too_few(percent) is few


def test_who_rests_does_not_make_the_others_few() -> None:
    assert not places([READY, RESTING, RESTING, RESTING]).too_few(50)


def test_weights_and_how_long_they_hold() -> None:
    old, new, spared = record("old", weight=2), record("new", weight=2), record("spared", weight=2)
    new.new_at, spared.slow_until = 0, 0.3
    stand = places([old, new, spared])
    among, until = stand.candidates(POLICY, 0, panic=False)
    assert (among.weights, until) == ((2, 0.2, 2 * SPARED), 0.3)
    among, until = stand.candidates(POLICY, 5, panic=False)
    assert (among.weights, until) == ((2, 1, 2), 6)
    assert stand.candidates(POLICY, 10, panic=False)[1] == inf


def test_what_says_the_same_is_the_same() -> None:
    one, other = READY.instance, replace(READY.instance, id=InstanceId("x"))
    old = candidates([one])
    assert kept(old, candidates([one])) is old
    for new in (
        candidates([other]),
        candidates([one], [0.5]),
        candidates([one], reserves=[other]),
        candidates([one], panic=True),
        candidates([one], local=old),
    ):
        assert kept(old, new) is new
