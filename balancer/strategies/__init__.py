"""The ways to choose among instances: one file each, and this table."""

import random
from importlib import import_module
from typing import cast

from balancer.policy import HashPolicy
from balancer.strategies.base import NewStrategy, Strategy

__all__ = ["STRATEGIES", "Strategy", "load_strategy"]

STRATEGIES = {
    "least_connections": "balancer.strategies.least_connections",
    "peak_ewma": "balancer.strategies.peak_ewma",
    "power_of_two": "balancer.strategies.power_of_two",
    "random": "balancer.strategies.random",
    "rendezvous": "balancer.strategies.rendezvous",
    "round_robin": "balancer.strategies.round_robin",
}


NO_HASHING = HashPolicy()


def load_strategy(name: str, rng: random.Random, hashing: HashPolicy = NO_HASHING) -> Strategy:
    """A new strategy of that name. Raises `KeyError` for a name that is not in the table."""
    return cast(NewStrategy, import_module(STRATEGIES[name]).new_strategy)(rng, hashing)
