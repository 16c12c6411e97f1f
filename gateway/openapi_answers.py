"""The JSON of the gateway's own answers, as `/openapi.json` describes it.

Rules of this file: models for the description and for the tests that hold answers to it; no answer is built
from them. A field that may be missing has a default, and one that may be null says so.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import Reason

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Wellness = Literal["healthy", "degraded", "unhealthy"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Error(_Answer):
    """Every error of the gateway's own has this shape. An instance's own errors pass through unchanged."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": "not_found",
                    "message": "There is nothing at this path.",
                    "reason": "no_route",
                    "timestamp": "2026-02-08T18:30:00.000Z",
                    "request_id": "71053afaab1113080000000000000014",
                }
            ]
        }
    )

    error: str
    """The kind of error: by the status, or the reason itself where clients tell them apart by it."""
    message: str
    """One sentence for people."""
    reason: Literal[tuple(reason.value for reason in Reason)]  # type: ignore[valid-type]  # made of the enum
    """One of a closed set, for programs."""
    timestamp: Timestamp
    request_id: str
    """As in the answer's `X-Request-Id`."""
    retry_after: int | None = None
    """Seconds, of a 429."""
    queue_token: str | None = None
    """Of `come_back`: to be sent as `X-Queue-Token` when coming back."""
    retry_at_ms: int | None = None
    """Of `come_back`: the appointment, in Unix milliseconds."""


class Pong(_Answer):
    message: str


class Alive(_Answer):
    status: Literal["alive"]


class ReadyChecks(_Answer):
    discovery: bool
    """The registry has answered, or the last run's state is known."""
    draining: bool
    probes: dict[str, bool] | None = None
    """Of the dependencies that the gateway is not ready without."""


class Ready(_Answer):
    status: Literal["ready", "not_ready"]
    checks: ReadyChecks


class PartHealth(_Answer):
    status: Wellness
    response_time: Seconds | None
    """Seconds; null while nobody knows."""


class Health(_Answer):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "healthy",
                    "timestamp": "2026-02-08T18:30:00.000Z",
                    "services": {"user-service": {"status": "healthy", "response_time": 0.023}},
                    "version": "1.0.0",
                }
            ]
        }
    )

    status: Wellness
    timestamp: Timestamp
    services: dict[str, PartHealth | Literal["up", "down"]] | None = None
    """Services and other dependencies, by their names in the settings."""
    version: str
    environment: str | None = None


class SettingsInForce(_Answer):
    loaded_at: Timestamp
    error: str | None
    """Why newer settings are not in force."""
    not_applied: list[str]
    """Keys whose new values need a restart."""


class ProbeDetail(_Answer):
    kind: str
    status: Literal["up", "down", "unknown"]
    required: bool
    found: str | None
    """What the latest question came to."""
    response_time: Seconds | None
    age_s: Seconds | None


class InstanceDetail(_Answer):
    id: str
    url: str
    health: Literal["passing", "warning", "critical", "maintenance"]
    suspect: bool
    verdict: Literal["unchecked", "up", "down"]
    zone: str
    weight: int
    weight_now: Seconds
    active: Count
    aside: bool
    aside_reason: str | None
    aside_for_s: Seconds
    ejections: Count


class QuarantinedDetail(_Answer):
    id: str
    reason: str
    detail: str


class ServiceDetail(_Answer):
    status: Literal["known", "unknown", "unreachable"]
    source: Literal["registry", "disk"]
    age_s: Seconds | None
    failure: str | None
    note: str | None
    panic: bool
    circuit: Literal["closed", "half_open", "open"]
    in_flight: Count
    queued: Count
    limit: Count | None
    retrying: Count
    ejected: dict[str, int]
    checks_failed: dict[str, int]
    retries_refused: Count
    hedges: dict[str, int]
    reports: dict[str, int]
    instances: list[InstanceDetail]
    quarantined: list[QuarantinedDetail]


class PoolDetail(_Answer):
    mode: str
    handlers: Count


class DrainDetail(_Answer):
    deadline_in_s: float
    rate: float | None


class Handler(_Answer):
    id: str
    pool: str
    url: str
    path: str
    epoch: int
    capacity: int
    weight: int
    connections: Count
    held: Count
    """Seats handed out whose clients have not come yet."""
    admin: str
    eligible: bool
    why_not: str | None
    last_report_age_s: Seconds | None
    state: Literal["up", "silent", "draining", "migrating", "drained"]
    drain: DrainDetail | None
    tokens: float
    joins_per_s: Seconds


class Handlers(_Answer):
    handlers: list[Handler]


class Detailed(_Answer):
    status: Wellness
    version: str
    draining: bool
    settings: SettingsInForce
    probes: dict[str, ProbeDetail]
    services: dict[str, ServiceDetail]
    pools: dict[str, PoolDetail]
    handlers: list[Handler]


class Peer(_Answer):
    url: str
    id: str


class Peers(_Answer):
    instance: Peer
    alternates: list[Peer]
    """The least busy first."""
    ttl_s: Seconds
    """How long the instance counts as busier for having been handed out."""


class Taken(_Answer):
    status: Literal["taken"]


class Revoked(_Answer):
    status: Literal["revoked"]
    until: float
    """When the token expires, in Unix seconds."""
    everywhere: bool
    """Whether the other gateways know it, too."""


class Reconnect(_Answer):
    """How a client comes back when its connection ends."""

    first_ms: Annotated[list[int], Field(min_length=2, max_length=2)]
    """The first try, anywhere from, to."""
    base_ms: Count
    cap_ms: Count
    jitter: Literal["full"]


class Seat(_Answer):
    websocket_handler_url: str
    handler_id: str
    websocket_url: str
    """Where to connect, with the subprotocols `wst.v1, wst.<ticket>`."""
    ticket: str
    ticket_expires_in: Count
    guaranteed_for: Count
    """Seconds for which the seat is kept."""
    session_id: str
    reconnect: Reconnect


class TicketKey(_Answer):
    kid: str
    key: str
    algorithm: str
    audience: str
    issuer: str


class PoolOfHandlers(_Answer):
    name: str
    guaranteed_s: Seconds
    ticket_s: Seconds


class HelloTold(_Answer):
    now: float
    """Unix seconds."""
    ticket: TicketKey
    previous: list[TicketKey]
    report_s: Seconds
    dead_after_s: Seconds
    reconnect: Reconnect
    pool: PoolOfHandlers


class DrainTold(_Answer):
    deadline_s: float
    rate: float | None


class Move(_Answer):
    session_id: str
    handler_id: str
    url: str
    ticket: str


class ReportTold(_Answer):
    now: float
    draining: bool
    reconnect: Reconnect
    drain: DrainTold | None = None
    rebalance: int | None = None
    migrate: list[Move] | None = None


class Admitted(_Answer):
    admit: bool


class SeatOfUser(_Answer):
    pool: str
    handler_id: str
    url: str
    connected: bool


class Located(SeatOfUser):
    uid: str
    seats: list[SeatOfUser]


class Drain(_Answer):
    handler_id: str
    state: Literal["up", "silent", "draining", "migrating", "drained"]
    remaining: Count
    deadline_in_s: float | None


class DecisionCandidate(_Answer):
    handler_id: str
    load: int
    weight: int
    allocated: int
    score: float


class Decision(_Answer):
    pool: str
    sequence: int
    at: float
    uid: str
    chosen: str
    why: str
    candidates: list[DecisionCandidate]
    excluded: list[str]
    last: str | None
