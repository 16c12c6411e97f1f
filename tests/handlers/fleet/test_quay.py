"""Our policy in the storm of ALLOCATION 1: the real ledger, and clients that do what they are told."""

import pytest

from handlers.model import PoolSettings, SeatRefusal
from handlers.throttle import SLACK
from tests.handlers.fleet import quay
from tests.handlers.fleet.quay import QuayFleet
from tests.handlers.fleet.storm import Storm, by_handler, most_above
from tests.handlers.fleet.table import SEED, as_it_comes, ours

SLOW = PoolSettings(capacity=2000, joins_per_s=80.0)
"""Twenty such handlers take in 1,600 clients per second, and 2,000 come."""


def worst_burst(fleet: QuayFleet, rate: float) -> float:
    return max(most_above(rate, joins) for joins in by_handler(fleet.tally.joins).values())


@pytest.mark.parametrize("seed", [SEED, 1])
def test_ours_is_even_within_capacity_and_within_the_bucket(seed: int) -> None:
    seen = ours(Storm(), seed).outcome
    assert seen.spread <= 1
    assert seen.over_cap == 0
    assert seen.worst_per_s <= 400 + 50


def test_a_handler_that_has_just_started_is_spared_and_nobody_waits_for_it() -> None:
    """Even handlers can wait; a cold process that gets everybody at once can't."""
    seen = as_it_comes(Storm()).outcome
    assert seen.over_cap == 0
    assert seen.last_s <= Storm().within_s
    assert seen.spread > 1000


@pytest.mark.parametrize("seed", [SEED, 1])
def test_those_who_come_too_fast_get_appointments_and_keep_them(seed: int) -> None:
    """Once in line, everybody is in at the second question, as soon as the handlers can take all."""
    storm = Storm()
    seen, fleet = quay.run(storm, SLOW, seed, fresh_up_s=SLOW.slow_start_s)
    assert fleet.refused.keys() == {SeatRefusal.COME_BACK}
    assert set(fleet.asked) == {1, 2}
    assert sum(fleet.asked.values()) == storm.clients
    assert seen.over_cap == 0
    handlers = len(storm.before)
    assert seen.last_s <= (storm.clients - handlers * SLOW.joins_burst) / (handlers * SLOW.joins_per_s) + 0.2
    assert worst_burst(fleet, SLOW.joins_per_s) <= SLOW.joins_burst + SLACK
