"""The rule itself; what every strategy promises stands in test_contract.py."""

import random

from hypothesis import given
from hypothesis import strategies as st

from balancer.strategies.least_connections import LeastConnections
from tests.balancer.strategies.asked import Asked, loaded
from tests.balancer.strategies.test_contract import instances


@given(
    members=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=10),
    seed=st.integers(),
)
def test_nobody_would_be_less_busy_with_the_call_on_top(members: list[tuple[int, int]], seed: int) -> None:
    candidates = instances(*(weight for weight, _ in members))
    load = {c.id: load for c, (_, load) in zip(candidates, members, strict=True)}
    picked = loaded(LeastConnections(random.Random(seed)), candidates, lambda i: load[i.id]).pick(candidates)
    assert picked is not None
    assert (load[picked.id] + 1) / picked.weight == min((load[c.id] + 1) / c.weight for c in candidates)


def test_the_heavier_of_idle_ones_comes_first(rng: random.Random) -> None:
    light, heavy = candidates = instances(1, 2)
    assert Asked(LeastConnections(rng)).pick(candidates) is heavy
    busy = {heavy.id: 2, light.id: 0}
    assert loaded(LeastConnections(rng), candidates, lambda i: busy[i.id]).pick(candidates) is light


def test_ties_rotate_among_the_tied_only(rng: random.Random) -> None:
    candidates = instances(1, 1, 1)
    load = {candidates[0].id: 1}
    asked = loaded(LeastConnections(rng), candidates, lambda i: load.get(i.id, 0))
    chosen = [asked.pick(candidates) for _ in range(8)]
    assert chosen.count(candidates[1]) == chosen.count(candidates[2]) == 4
