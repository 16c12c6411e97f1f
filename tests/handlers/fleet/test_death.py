"""10,000 clients of one dead handler are all re-seated on 19 others, and nobody suffers from it."""

import pytest

from handlers.model import PoolSettings
from handlers.throttle import SLACK
from tests.handlers.fleet.death import Death, Reseated, run
from tests.handlers.fleet.storm import by_handler, most_above

POOL = PoolSettings(capacity=12_000)
REPORT_S = 1.25 * POOL.dead_after_s / 3
"""A report, and a quarter of one for its journey: three clients who can't connect need not wait longer."""


@pytest.fixture(scope="module")
def reseated() -> Reseated:
    return run(Death(), POOL, seed=1)


@pytest.fixture(scope="module")
def stampede() -> Reseated:
    """Nobody keeps to the advice: all come back at once."""
    return run(Death(within_s=0.2), POOL, seed=1)


def test_all_are_seated_within_the_window_they_were_advised(reseated: Reseated) -> None:
    assert reseated.window_s == pytest.approx(10_000 / (19 * POOL.joins_per_s))
    assert reseated.last_s <= reseated.window_s


def test_a_stampede_is_seated_no_later_than_those_who_keep_to_the_advice(stampede: Reseated) -> None:
    assert stampede.last_s <= stampede.window_s


def test_hardly_anybody_of_a_stampede_asks_often(stampede: Reseated) -> None:
    """For a second the book counts on the dead handler too, whose tokens are of no use to who excludes it."""
    asked = stampede.fleet.asked
    assert sum(asked.values()) == len(stampede.fleet.seated_at)
    assert sum(count for times, count in asked.items() if times <= 3) > 0.85 * sum(asked.values())
    assert max(asked) <= 20


@pytest.mark.parametrize("scene", ["reseated", "stampede"])
def test_no_handler_takes_in_more_than_its_bucket_allows(scene: str, request: pytest.FixtureRequest) -> None:
    seen: Reseated = request.getfixturevalue(scene)
    joins = by_handler(seen.fleet.tally.joins)
    assert len(joins) == 19
    assert max(most_above(POOL.joins_per_s, times) for times in joins.values()) <= POOL.joins_burst + SLACK


@pytest.mark.parametrize("scene", ["reseated", "stampede"])
def test_the_others_stay_even_and_within_capacity(scene: str, request: pytest.FixtureRequest) -> None:
    seen: Reseated = request.getfixturevalue(scene)
    others = seen.fleet.tally.connections[1:]
    assert max(others) - min(others) <= 1
    assert seen.fleet.tally.over_cap == 0


def test_newcomers_are_sent_to_the_dead_for_one_report_at_most(reseated: Reseated) -> None:
    sent = reseated.fleet.sent_to_dead
    assert sent
    assert max(sent) <= REPORT_S
    assert sum(reseated.fleet.asked.values()) == len(reseated.fleet.seated_at)
