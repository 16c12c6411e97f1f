"""The rule itself; what every strategy promises stands in test_contract.py."""

import random

from hypothesis import given
from hypothesis import strategies as st

from balancer.strategies.least_connections import LeastConnections
from tests.balancer.strategies.test_contract import everyone, instances


@given(
    members=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=10),
    seed=st.integers(),
)
def test_nobody_would_be_less_busy_with_the_call_on_top(members: list[tuple[int, int]], seed: int) -> None:
    candidates = instances(*(weight for weight, _ in members))
    load = {c.id: load for c, (_, load) in zip(candidates, members, strict=True)}
    picked = LeastConnections(random.Random(seed)).pick(candidates, lambda i: load[i.id], everyone)
    assert picked is not None
    assert (load[picked.id] + 1) / picked.weight == min((load[c.id] + 1) / c.weight for c in candidates)


def test_the_heavier_of_idle_ones_comes_first(rng: random.Random) -> None:
    light, heavy = candidates = instances(1, 2)
    assert LeastConnections(rng).pick(candidates, lambda i: 0, everyone) is heavy
    busy = {heavy.id: 2, light.id: 0}
    assert LeastConnections(rng).pick(candidates, lambda i: busy[i.id], everyone) is light


def test_ties_rotate_among_the_tied_only(rng: random.Random) -> None:
    candidates = instances(1, 1, 1)
    strategy = LeastConnections(rng)
    load = {candidates[0].id: 1}
    chosen = [strategy.pick(candidates, lambda i: load.get(i.id, 0), everyone) for _ in range(8)]
    assert chosen.count(candidates[1]) == chosen.count(candidates[2]) == 4
