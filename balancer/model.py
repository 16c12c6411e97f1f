"""What goes into a call and what comes out of it.

`Refused` and `Failed` are the ends of a call that no instance answered; only faults of our own raise.
"""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from balancer.field_lines import FieldLines
from balancer.outcome import Outcome
from registry.model import Instance, ServiceName

Headers = list[tuple[bytes, bytes]]
"""Names and values as they stand on the wire: order, case and duplicates kept."""
Pairs = Sequence[tuple[bytes, bytes]]
"""The same, to be read only."""


class RetryClass(StrEnum):
    """When a failed try may be repeated on another instance."""

    SAFE = "safe"
    """After any failure, as long as no byte of an answer has gone to the client."""
    UNSENT = "unsent"
    """Only when provably no byte of the request reached the instance."""
    KEYED = "keyed"
    """As SAFE when the client sent `Idempotency-Key`, else as UNSENT."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds. `connect_s` to `idle_s` hold for one try, `total_s` for the whole call."""

    connect_s: float = 1.0
    first_byte_s: float = 15.0
    idle_s: float = 30.0
    total_s: float = 60.0
    tunnel_idle_s: float = 300.0
    """After a 101 the others are over, and this is how long nothing may move in either direction."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections are kept to one instance, and for how long."""

    max_connections: int = 1024
    """Open at once, idle ones included."""
    max_waiting: int = 1024
    """Calls that wait for one of them; the next is refused. They wait for `connect_s` at most."""
    max_idle: int = 64
    idle_s: float = 15.0
    """Shorter than the usual server's keep-alive: a request that meets a connection which the instance is
    closing counts as sent, so a POST could not be retried."""


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of a service's instances, by what they are registered with."""

    tag: str
    inside: bool = True
    """Whether it is those with the tag, or the others."""
    or_others: bool = False
    """Whether the rest of the service's instances will do, while none of these is in order."""

    def holds(self, tags: tuple[str, ...]) -> bool:
        """Whether an instance with these tags is one of them."""
        return (self.tag in tags) is self.inside

    def overlaps(self, other: "Subset") -> bool:
        """Whether an instance may be in both."""
        return self.tag != other.tag or self.inside is other.inside


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How calls of one route are carried out; prepared once, not per request."""

    service: ServiceName
    retry: RetryClass
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_attempts: int = 3
    hedge: bool = False
    """Whether a call that is slow for its service may go to a second instance too."""
    subset: Subset | None = None
    """Null: all of the service's instances."""


class TryTrace(Protocol):
    """One try, as a trace shows it."""

    @property
    def headers(self) -> Pairs:
        """What goes out with this try only: by which its instance knows where in the trace it stands."""
        ...

    def end(self, outcome: Outcome, status: int | None) -> None:
        """The try has ended so."""
        ...


class CallTrace(Protocol):
    """A call that is traced, and is told of each of its tries. Must not raise."""

    def try_at(self, instance: Instance, attempt: int, reason: str) -> TryTrace:
        """The try of that number (from 1) begins; `reason` is why it is not the first, else empty."""
        ...


@dataclass(slots=True)
class OutboundRequest:
    """A request as it goes to an instance.

    `body` as bytes can be sent again; as a stream it can be sent once. `headers` are complete but
    for `Host` of a route that does not pass the client's, which the upstream fills in; as pairs, or as the
    lines that were made of them beforehand.
    """

    method: str
    target: str
    """Path and query, byte for byte as they go on the wire."""
    headers: Headers | FieldLines
    body: bytes | AsyncIterable[bytes] = b""
    idempotency_key: bool = False
    key: bytes = b""
    """What the caller is recognised by, for strategies that send it to the same instance again."""
    deadline_s: float | None = None
    """What the caller has left for it, when it said so; the route's own total holds too."""
    switch: bool = False
    """The headers ask for another protocol (`Upgrade`): the answer may be 101."""
    trace: CallTrace | None = None
    """Who is told of the tries, where somebody wants to know."""


class RefusedReason(StrEnum):
    """Why no instance could be chosen; also the error's `reason` and a metric label."""

    UNKNOWN_SERVICE = "unknown_service"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    NO_INSTANCES = "no_instances"
    NO_HEALTHY_INSTANCE = "no_healthy_instance"
    ALL_TRIED = "all_tried"
    CIRCUIT_OPEN = "circuit_open"
    BUSY = "busy"
    """As many calls of the service as it may have are under way, and enough are waiting."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was sent anywhere."""

    reason: RefusedReason
    retry_after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Failed:
    """Every try that was allowed has failed; `outcome` is the last one's."""

    outcome: Outcome
    attempts: int


class UpstreamFailed(Exception):
    """There is no answer; `outcome` says how far the request got and whose fault it was."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class UpstreamBroke(Exception):
    """The body of an answer was cut short: what the client has must not look complete."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
