"""What the operator wants of one service: the frozen figures that the balancer's decisions are made on.

Rules of this file: values and their defaults, nothing that happens. Durations are seconds, shares are
percent or ratios as their names say.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """When an instance is put aside because of how its calls end. 0 switches a rule off."""

    connect_failures: int = 1
    """Connections in a row that could not be made."""
    server_errors: int = 5
    """Calls in a row that ended in a 5xx answer, a timeout or a broken connection."""
    success_rate: float = 0.5
    """Of what the rest of its service reaches in the same window: who is below that share is put aside."""
    window_s: float = 10.0
    min_requests: int = 20
    """Calls of one instance in one window, below which its success rate says nothing."""
    base_s: float = 2.0
    """Put aside for that long times how often it happened in a row."""
    max_s: float = 60.0
    max_percent: int = 50
    """Of a service's instances that may be put aside by these rules at a time."""
    panic_percent: int = 50
    """With fewer usable than that, the verdicts are mistrusted and all discovered instances are used."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a whole service is given a rest."""

    failure_ratio: float = 0.5
    """Of the calls in one window, from which on it opens."""
    min_requests: int = 20
    window_s: float = 10.0
    open_s: float = 5.0
    probes: int = 3
    """Calls let through while it is half open; all must succeed."""


@dataclass(frozen=True, slots=True)
class ConcurrencyPolicy:
    """How many calls may be under way at a time; `None` is no limit."""

    service: int | None = None
    instance: int | None = None
    queue: int = 100
    """Calls that may wait for room; the next is refused."""
    wait_s: float = 1.0
    """The longest that one of them waits."""
    adaptive: bool = False
    """Whether the service's limit follows its latency, with `service` as the most."""


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How many second tries (retries and hedges) a service may be under at a time, and a moment after."""

    percent: int = 20
    """Less than that, of its first tries that are under way or have just ended."""
    at_least: int = 3
    """Allowed within a quarter of a second, however few first tries there are."""


HashBy = Literal["address", "uid", "header", "cookie"]


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """What of a request the strategy `rendezvous` goes by."""

    by: HashBy = "address"
    name: str = ""
    """Of the header or cookie."""
    balance: float = 1.25
    """No instance gets more than that times the mean load; the next in line gets the call instead."""


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """Everything the balancer is told about one service. Replaced whole when the settings change."""

    strategy: str = "least_connections"
    ejection: EjectionPolicy = field(default_factory=EjectionPolicy)
    circuit: CircuitPolicy | None = None
    concurrency: ConcurrencyPolicy = field(default_factory=ConcurrencyPolicy)
    retries: RetryBudget = field(default_factory=RetryBudget)
    hashing: HashPolicy = field(default_factory=HashPolicy)
    slow_start_s: float = 10.0
    """Over so long the weight of an instance that is new, or back, grows from a tenth to all of it."""
    zone: str = ""
    """The gateway's own: instances there come first while they have room. Empty: zones don't count."""
    zone_room: int = 16
    """Calls of this gateway that an instance of the own zone takes, for each unit of its weight, before the
    other zones get the next."""
