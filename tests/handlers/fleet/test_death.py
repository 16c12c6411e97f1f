"""10,000 clients of one dead handler are all re-seated on 19 others, and nobody suffers from it."""

import pytest

from handlers.model import PoolSettings
from tests.handlers.fleet.death import Death, Reseated, run
from tests.handlers.fleet.storm import by_handler, most_above

POOL = PoolSettings(capacity=12_000)


@pytest.fixture(scope="module")
def reseated() -> Reseated:
    return run(Death(), POOL, seed=1)


def test_all_are_seated_within_the_window_they_were_advised(reseated: Reseated) -> None:
    assert reseated.window_s == pytest.approx(10_000 / (19 * POOL.joins_per_s))
    assert reseated.last_s <= reseated.window_s


def test_no_handler_takes_in_more_than_its_bucket_allows(reseated: Reseated) -> None:
    joins = by_handler(reseated.fleet.tally.joins)
    assert len(joins) == 19
    assert max(most_above(POOL.joins_per_s, times) for times in joins.values()) <= POOL.joins_burst


def test_the_others_stay_even_and_within_capacity(reseated: Reseated) -> None:
    tally = reseated.fleet.tally
    others = tally.connections[1:]
    assert max(others) - min(others) <= 1
    assert tally.over_cap == 0


def test_newcomers_are_sent_to_the_dead_until_it_is_known_to_be_dead(reseated: Reseated) -> None:
    sent = reseated.fleet.sent_to_dead
    assert sent
    assert max(sent) < POOL.dead_after_s
    assert sum(reseated.fleet.asked.values()) == len(reseated.fleet.seated_at)
