"""What the balancer holds of each service: its policy, and the ledgers and the strategy that go by it."""

import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from balancer.budget import RetryLedger
from balancer.circuit import CircuitLedger, State
from balancer.concurrency import ConcurrencyLedger
from balancer.eligibility import EligibilityLedger
from balancer.hedging import RecentLatencies
from balancer.model import Subset
from balancer.policy import ConcurrencyPolicy, ServicePolicy
from balancer.strategies import Strategy, load_strategy
from registry.model import Instance, ServiceName

MAX_SERVICES = 1024
"""Ledgers kept; the service that was asked for longest ago loses its own and starts anew."""
MAX_SUBSETS = 64
"""Of a service, that have strategies of their own; more than the settings of the day name begin anew."""
DEFAULT_POLICY = ServicePolicy()
"""Of services that the settings don't name."""


class Told(Protocol):
    """A strategy's `ended`."""

    def __call__(self, instance: Instance, seconds: float, *, ok: bool, now: float) -> None: ...


class ServiceLedger:
    """Of one service, for as long as the balancer remembers it."""

    __slots__ = (
        "_rng",
        "_strategies",
        "budget",
        "calls",
        "circuit",
        "concurrency",
        "eligible",
        "policy",
        "recent",
        "strategy",
        "told",
    )

    def __init__(self, policy: ServicePolicy, rng: random.Random) -> None:
        self._rng = rng
        self.policy = policy
        self.calls = 0
        """Under way, those that wait included."""
        self.eligible = EligibilityLedger(policy)
        self.budget = RetryLedger(policy.retries)
        self.recent = RecentLatencies()
        self.circuit = None if policy.circuit is None else CircuitLedger(policy.circuit)
        self.concurrency = ConcurrencyLedger(policy.concurrency) if _limits(policy.concurrency) else None
        self._load_strategy()

    def follow(self, policy: ServicePolicy) -> None:
        """Takes a new policy. What is known of instances stays; a strategy of another name begins anew.

        Calls under way leave the circuit and the limits that they have entered.
        """
        before, self.policy = self.policy, policy
        if (policy.strategy, policy.hashing) != (before.strategy, before.hashing):
            self._load_strategy()
        self.eligible.policy = policy
        self.budget.policy = policy.retries
        if policy.circuit is None or self.circuit is None:
            self.circuit = None if policy.circuit is None else CircuitLedger(policy.circuit)
        else:
            self.circuit.policy = policy.circuit
        if self.concurrency is not None:
            # Also when no limit is left: whoever waits goes on.
            self.concurrency.follow(policy.concurrency)
        elif _limits(policy.concurrency):
            self.concurrency = ConcurrencyLedger(policy.concurrency)

    def strategy_for(self, subset: Subset) -> Strategy:
        """What chooses in that subset: turns and orders of its own, as in a service of its own.

        A strategy that learns from how tries end learns of all of them, so there is one for all.
        """
        if self.told is not None:
            return self.strategy
        side = (subset.tag, subset.inside)
        known = self._strategies.get(side)
        if known is None:
            if len(self._strategies) >= MAX_SUBSETS:
                self._strategies.clear()
            known = load_strategy(self.policy.strategy, self._rng, self.policy.hashing)
            self._strategies[side] = known
        return known

    def _load_strategy(self) -> None:
        self._strategies: dict[tuple[str, bool], Strategy] = {}
        self.strategy = load_strategy(self.policy.strategy, self._rng, self.policy.hashing)
        listens = type(self.strategy).ended is not Strategy.ended
        self.told: Told | None = self.strategy.ended if listens else None
        """The strategy's `ended`, if it makes anything of it."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How calls of one service go, for metrics and health pages."""

    service: ServiceName
    circuit: State
    """Closed when there is none."""
    in_flight: int
    """Calls let in and not over."""
    queued: int
    """Calls that wait for room."""
    limit: int | None
    """Of calls in flight, as it is at the moment."""
    retrying: int
    """Retries and hedges that have no answer yet."""


class ServiceLedgers:
    """One ledger for each service that was called, the latest `MAX_SERVICES` of them."""

    def __init__(self, policies: Mapping[ServiceName, ServicePolicy], rng: random.Random) -> None:
        self._policies = policies
        self._rng = rng
        self._known: OrderedDict[ServiceName, ServiceLedger] = OrderedDict()

    def of_known(self, name: ServiceName) -> ServiceLedger | None:
        """The ledger of that service, if it has one; used now, it is forgotten last."""
        known = self._known.get(name)
        if known is not None:
            self._known.move_to_end(name)
        return known

    def of(self, name: ServiceName) -> ServiceLedger:
        """The ledger of that service, a new one if nothing is known of it."""
        known = self.of_known(name)
        if known is not None:
            return known
        made = self._known[name] = ServiceLedger(self._policies.get(name, DEFAULT_POLICY), self._rng)
        if len(self._known) > MAX_SERVICES:
            self._known.popitem(last=False)
        return made

    def follow(self, policies: Mapping[ServiceName, ServicePolicy]) -> None:
        """Takes new policies; what is known of services and instances stays."""
        self._policies = policies
        for name, ledger in self._known.items():
            ledger.follow(policies.get(name, DEFAULT_POLICY))

    def states(self) -> Iterator[ServiceState]:
        for name, ledger in self._known.items():
            places = ledger.concurrency
            queued = 0 if places is None else places.waiting
            yield ServiceState(
                service=name,
                circuit=State.CLOSED if ledger.circuit is None else ledger.circuit.state,
                in_flight=ledger.calls - queued,
                queued=queued,
                limit=None if places is None else places.limit,
                retrying=ledger.budget.second,
            )

    def __len__(self) -> int:
        return len(self._known)


def _limits(policy: ConcurrencyPolicy) -> bool:
    return policy.service is not None or policy.instance is not None or policy.adaptive
