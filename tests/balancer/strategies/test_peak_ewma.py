"""Latency in the choice; what every strategy promises stands in test_contract.py."""

import random

import pytest

from balancer.latency import SPARE
from balancer.policy import HashPolicy
from balancer.strategies.peak_ewma import new_strategy
from registry.model import Instance
from tests.balancer.strategies.asked import Asked
from tests.balancer.strategies.test_contract import instances


@pytest.fixture
def asked(rng: random.Random) -> Asked:
    return Asked(new_strategy(rng, HashPolicy()))


def measured(asked: Asked, instances: tuple[Instance, ...], *seconds: float) -> None:
    """Each has answered once, in so long."""
    for instance, took in zip(instances, seconds, strict=True):
        asked.strategy.ended(instance, took, ok=True, now=0.0)


def test_the_fastest_is_picked_until_its_calls_make_up_for_it(asked: Asked) -> None:
    fast, slow = both = instances(1, 1)
    measured(asked, both, 0.010, 0.035)
    for _ in range(3):
        assert asked.pick(both) is fast
        asked.begin(fast)
    # Four at a time would take 40 ms there.
    assert asked.pick(both) is slow


def test_weights_count(asked: Asked) -> None:
    both = instances(1, 4)
    measured(asked, both, 0.010, 0.030)
    assert asked.pick(both) is both[1]


def test_one_slow_answer_is_enough(asked: Asked) -> None:
    good, bad = both = instances(1, 1)
    measured(asked, both, 0.010, 0.010)
    asked.strategy.ended(bad, 2.0, ok=True, now=0.0)
    assert all(asked.pick(both, now=0.1) is good for _ in range(50))


def test_who_was_slow_is_asked_again_in_the_end(asked: Asked) -> None:
    good, bad = both = instances(1, 1)
    measured(asked, both, 0.010, 2.0)
    asked_again_at = None
    for second in range(120):
        asked.strategy.ended(good, 0.010, ok=True, now=float(second))
        if asked.pick(both, now=float(second)) is bad:
            asked_again_at = second
            break
    assert asked_again_at is not None
    # 200 times as slow: ln(200) x 10 s.
    assert 40 <= asked_again_at <= 60


def test_a_newcomer_gets_one_call_and_the_next_when_it_has_answered(asked: Asked) -> None:
    old, new = both = instances(1, 1)
    asked.strategy.ended(old, 0.010, ok=True, now=0.0)
    assert asked.pick(both) is new
    asked.begin(new)
    assert all(asked.pick(both) is old for _ in range(50))
    asked.strategy.ended(new, 0.001, ok=True, now=0.0)
    assert asked.pick(both) is new


def test_who_fails_at_once_does_not_look_fast(asked: Asked) -> None:
    """Finagle's measures a refusal of a tenth of a millisecond as such, and sends it everything."""
    good, refusing = both = instances(1, 1)
    asked.strategy.ended(good, 0.010, ok=True, now=0.0)
    asked.strategy.ended(refusing, 0.0001, ok=False, now=0.0)
    assert all(asked.pick(both) is good for _ in range(50))


def test_who_lets_callers_wait_until_they_leave_is_slow(asked: Asked) -> None:
    """No answer ever tells of it, and nobody is to blame: the callers' patience is all there is to go by."""
    good, hanging = both = instances(1, 1)
    asked.strategy.ended(good, 0.010, ok=True, now=0.0)
    asked.strategy.given_up(hanging, 1.0, now=1.0)
    assert all(asked.pick(both, now=1.0) is good for _ in range(50))


def test_who_is_left_is_picked_however_bad_it_is(asked: Asked) -> None:
    (only,) = one = instances(1)
    for _ in range(5000):
        asked.strategy.ended(only, 3600.0, ok=False, now=0.0)
    assert asked.pick(one) is only


def test_an_instance_that_was_away_is_remembered(asked: Asked) -> None:
    good, _bad = both = instances(1, 1)
    measured(asked, both, 0.010, 2.0)
    assert asked.pick((good,)) is good
    assert asked.pick(both) is good


def test_what_is_known_of_many_is_not_forgotten_for_a_few_that_are_asked_about_in_turns(
    asked: Asked,
) -> None:
    """As of the two sides of a service that is split."""
    many, few = instances(*[1] * (SPARE + 2)), instances(1, first=SPARE + 2)
    asked.pick(many)
    asked.pick(few)
    measured(asked, many, *[0.5] * (SPARE + 1), 0.1)
    assert asked.pick(many, frozenset(i.id for i in many[1:-1])) == many[-1], "the first would be unknown"
