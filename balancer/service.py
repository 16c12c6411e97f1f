"""What the balancer holds of one service: its policy, and the ledgers and the strategy that go by it."""

import random

from balancer.eligibility import EligibilityLedger
from balancer.policy import ServicePolicy
from balancer.strategies import load_strategy


class ServiceLedger:
    """Of one service, for as long as the balancer remembers it."""

    __slots__ = ("_rng", "eligible", "policy", "strategy")

    def __init__(self, policy: ServicePolicy, rng: random.Random) -> None:
        self._rng = rng
        self.policy = policy
        self.strategy = load_strategy(policy.strategy, rng)
        self.eligible = EligibilityLedger(policy)

    def follow(self, policy: ServicePolicy) -> None:
        """Takes a new policy. What is known of instances stays; a strategy of another name begins anew."""
        if policy.strategy != self.policy.strategy:
            self.strategy = load_strategy(policy.strategy, self._rng)
        self.policy = self.eligible.policy = policy
