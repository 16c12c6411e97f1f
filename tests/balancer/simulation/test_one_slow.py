"""The order of the experiment's table: who looks at nothing, who looks at loads, who looks at latencies."""

import pytest

from balancer.strategies import STRATEGIES
from tests.balancer.simulation.one_slow import INSTANCES, Load, simulate

BLIND = ("random", "round_robin")
BY_LATENCY = ("peak_ewma",)
BY_LOAD = tuple(sorted(set(STRATEGIES) - {*BLIND, *BY_LATENCY}))
loads = pytest.mark.parametrize("load", [Load(20), Load(100), Load(1000, seconds=20)], ids=str)


@loads
def test_who_looks_at_more_loses_fewer_calls(load: Load) -> None:
    lost = {name: 1 - simulate(name, load).success for name in STRATEGIES}
    worst_by_load = max(lost[name] for name in BY_LOAD)
    assert max(lost[name] for name in BY_LATENCY) < min(lost[name] for name in BY_LOAD) / 3
    assert worst_by_load < min(lost[name] for name in BLIND) / 2


@loads
@pytest.mark.parametrize("name", BLIND)
def test_the_blind_lose_what_they_send_to_the_slow_one(name: str, load: Load) -> None:
    assert 1 - simulate(name, load).success == pytest.approx(1 / INSTANCES, rel=0.3)


@loads
def test_by_loads_the_slow_one_gets_a_call_whenever_it_has_let_one_go(load: Load) -> None:
    """One call at a time, more or less, which takes it a second to lose."""
    assert simulate("least_connections", load).failed < 3 * load.seconds


@loads
def test_by_latency_the_slow_one_is_asked_again_now_and_then(load: Load) -> None:
    assert 1 <= simulate("peak_ewma", load).failed <= 5


def test_equal_seeds_end_equally() -> None:
    assert simulate("power_of_two", Load()) == simulate("power_of_two", Load())
    assert simulate("power_of_two", Load()) != simulate("power_of_two", Load(seed=2))
