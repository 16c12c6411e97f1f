"""The scene of ALLOCATION 1: 10,000 clients re-join within 5 s a fleet of which one handler is fresh.

Everything is a function of the seed: no clock, no sockets, no waiting.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Storm:
    clients: int = 10_000
    within_s: float = 5.0
    before: tuple[int, ...] = (0, *[1000] * 19)
    """Connections of each handler when it begins."""
    capacity: int = 2000
    gateways: int = 4
    refresh_s: float = 2.0
    """A handler's load is told to the gateways so often, each at a time of its own."""

    def arrivals(self, rng: random.Random) -> list[float]:
        """When the clients come: any time within the 5 s is as likely."""
        return sorted(rng.uniform(0, self.within_s) for _ in range(self.clients))

    def first_reports(self, rng: random.Random) -> list[float]:
        """When each handler's load is told first."""
        return [rng.uniform(0, self.refresh_s) for _ in self.before]


class Policy(Protocol):
    def choose(self, gateway: int, now: float) -> int:
        """The handler that gets the client. What the policy counts itself, it counts here."""
        ...

    def told(self, handler: int, connections: int) -> None:
        """A handler's load, every `refresh_s`; told to all gateways at once."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """The columns of the table."""

    spread: int
    """The most connections of a handler, less the fewest."""
    peak_to_mean: float
    over_cap: int
    """Clients that were sent to a handler that had no room."""
    worst_per_s: int
    """The most clients that one handler got within a second of the storm (0 to 1 s, 1 to 2 s, ...)."""
    last_s: float
    """When the last client had its handler."""


@dataclass(slots=True)
class Tally:
    """The truth: who sits where, and when they came."""

    capacity: int
    connections: list[int]
    joins: list[tuple[float, int]] = field(default_factory=list)
    over_cap: int = 0

    def join(self, handler: int, now: float) -> None:
        self.over_cap += self.connections[handler] >= self.capacity
        self.connections[handler] += 1
        self.joins.append((now, handler))

    def outcome(self) -> Outcome:
        most, fewest = max(self.connections), min(self.connections)
        mean = sum(self.connections) / len(self.connections)
        per_s = Counter((int(at), handler) for at, handler in self.joins)
        return Outcome(most - fewest, most / mean, self.over_cap, max(per_s.values()), self.joins[-1][0])


def run(storm: Storm, policy: Policy, seed: int) -> Outcome:
    """Every client asks one gateway once, and goes where it is sent."""
    rng = random.Random(seed)
    tally = Tally(storm.capacity, list(storm.before))
    due = storm.first_reports(rng)
    for now in storm.arrivals(rng):
        for handler, at in enumerate(due):
            if at <= now:
                policy.told(handler, tally.connections[handler])
                due[handler] += storm.refresh_s
        tally.join(policy.choose(rng.randrange(storm.gateways), now), now)
    return tally.outcome()


def most_above(rate: float, joins: Iterable[float]) -> float:
    """How many clients a bucket of that rate must hold at once for these joins to pass: over any window
    `w`, no more than that plus `rate * w` came (I10)."""
    level = most = 0.0
    before = float("-inf")
    for now in joins:
        level = max(0.0, level - rate * (now - before)) + 1
        before = now
        most = max(most, level)
    return most


def by_handler(joins: Sequence[tuple[float, int]]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for at, handler in sorted(joins):
        found.setdefault(handler, []).append(at)
    return found
