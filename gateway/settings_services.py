"""The part of the settings about services: how their instances are chosen, asked, trusted and spared.

Rules of this file: as in settings_model.py. Each section knows the frozen policy that it stands for.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from balancer.model import PoolLimits, Timeouts
from balancer.policy import (
    CircuitPolicy,
    ConcurrencyPolicy,
    EjectionPolicy,
    HashPolicy,
    RetryBudget,
    ServicePolicy,
)
from balancer.strategies import STRATEGIES
from gateway.hash_keys import RENDEZVOUS
from gateway.settings_types import (
    Count,
    CountOrZero,
    Header,
    InstancePath,
    InstanceUrl,
    Listed,
    OneOf,
    Percent,
    Ratio,
    Seconds,
    SecondsOrZero,
    Section,
    Share,
    StatusRange,
    without_empty,
)
from registry.health_checks import HealthCheckPolicy


class TimeoutSettings(Section):
    """What is left out comes from the level above: route, then service, then the defaults."""

    connect_s: Seconds | None = None
    first_byte_s: Seconds | None = None
    idle_s: Seconds | None = None
    total_s: Seconds | None = None
    """For the whole call, all tries together."""
    tunnel_idle_s: Seconds | None = None
    """For a WebSocket: how long nothing may move in either direction."""

    @field_validator("total_s")
    @classmethod
    def _the_whole_is_longest(cls, total_s: float | None, info: ValidationInfo) -> float | None:
        longer = [name for name, part in info.data.items() if part and total_s and part > total_s]
        if longer:
            raise ValueError(f"is shorter than {' and '.join(longer)}, which it includes")
        return total_s

    def over(self, below: Timeouts) -> Timeouts:
        """`below` with what is set here. A part that is not set here never exceeds the whole."""
        total_s = self.total_s or below.total_s
        return Timeouts(
            connect_s=min(self.connect_s or below.connect_s, total_s),
            first_byte_s=min(self.first_byte_s or below.first_byte_s, total_s),
            idle_s=min(self.idle_s or below.idle_s, total_s),
            total_s=total_s,
            tunnel_idle_s=self.tunnel_idle_s or below.tunnel_idle_s,
        )


class ConnectionSettings(Section):
    """The connections that are kept to one instance."""

    max_connections: Count = 1024
    """Open at once; a call beyond them waits for `connect_s`, then tries another instance, then gets 503."""
    max_waiting: CountOrZero = 1024
    """Calls that may wait so."""
    max_idle: CountOrZero = 64
    idle_s: Seconds = 15
    """Idle ones are closed then: choose less than the instances' own keep-alive."""

    def limits(self) -> PoolLimits:
        """As the balancer wants them."""
        return PoolLimits(
            max_connections=self.max_connections,
            max_waiting=self.max_waiting,
            max_idle=self.max_idle,
            idle_s=self.idle_s,
        )


class EjectionSettings(Section):
    """When an instance is put aside because of how its calls end; 0 switches a rule off."""

    connect_failures: CountOrZero = 1
    """Connections in a row that could not be made."""
    server_errors: CountOrZero = 5
    """Calls in a row that ended in a 5xx answer, a timeout or a broken connection."""
    success_rate: Share = 0.5
    """Below that share of what the rest of the service reaches in window_s."""
    window_s: Seconds = 10
    min_requests: Count = 20
    """Calls in the window below which a rate says nothing."""
    base_s: Seconds = 2
    """Put aside for so long times how often it happened."""
    max_s: Seconds = 60
    max_percent: Percent = 50
    """Of the instances, at most, at a time."""
    panic_percent: Percent = 50
    """With fewer usable, all are used."""

    @field_validator("max_s")
    @classmethod
    def _the_first_time_is_the_shortest(cls, max_s: float, info: ValidationInfo) -> float:
        if max_s < info.data.get("base_s", 0):
            raise ValueError("is shorter than base_s, which is the first time's")
        return max_s

    def policy(self) -> EjectionPolicy:
        return EjectionPolicy(**self.model_dump())


class CircuitSettings(Section):
    """When a whole service is given a rest: 503 at once, then a few probes."""

    failure_ratio: Ratio = 0.5
    min_requests: Count = 20
    window_s: Seconds = 10
    open_s: Seconds = 5
    probes: Count = 3

    def policy(self) -> CircuitPolicy:
        return CircuitPolicy(**self.model_dump())


class ConcurrencySettings(Section):
    """Calls under way at a time; null is unlimited."""

    service: Count | None = None
    instance: Count | None = None
    queue: CountOrZero = 100
    """Calls that wait for room; more get 503."""
    wait_s: Seconds = 1
    """At most so long."""
    adaptive: bool = False
    """The service's limit follows its latency, up to `service`."""

    @field_validator("instance")
    @classmethod
    def _a_part_is_less_than_the_whole(cls, instance: int | None, info: ValidationInfo) -> int | None:
        service = info.data.get("service")
        if instance is not None and service is not None and instance > service:
            raise ValueError("is more than service, which holds for all instances together")
        return instance

    @model_validator(mode="after")
    def _somebody_may_have_to_wait(self) -> Self:
        limited = self.adaptive or self.service is not None or self.instance is not None
        fields = type(self).model_fields
        waiting = [key for key in ("queue", "wait_s") if getattr(self, key) != fields[key].default]
        if waiting and not limited:
            fix = "set service or instance, or adaptive: true"
            raise ValueError(f"{' and '.join(waiting)} can have no effect, for nothing is limited: {fix}")
        return self

    def policy(self) -> ConcurrencyPolicy:
        return ConcurrencyPolicy(**self.model_dump())


class RetryBudgetSettings(Section):
    """How many second tries may be under way at a time."""

    percent: Annotated[CountOrZero, Field(le=1000)] = 20
    """Of the first tries under way."""
    at_least: CountOrZero = 3

    def policy(self) -> RetryBudget:
        return RetryBudget(**self.model_dump())


class HashSettings(Section):
    """What the strategy rendezvous recognises a caller by."""

    by: Literal["address", "uid", "header", "cookie"] = "address"
    name: str = ""
    """Of the header or cookie."""
    balance: Annotated[float, Field(ge=1, le=100)] = 1.25
    """No instance gets more than so many times the mean load."""

    @field_validator("name")
    @classmethod
    def _names_what_it_needs(cls, name: str, info: ValidationInfo) -> str:
        by = info.data.get("by")
        if by in ("header", "cookie") and not name:
            raise ValueError(f"must name the {by}")
        if by in ("address", "uid") and name:
            raise ValueError("is for by: header and by: cookie")
        return name

    def policy(self) -> HashPolicy:
        return HashPolicy(**self.model_dump())


class HealthCheckSettings(Section):
    """The gateway asks the instances itself, beside the registry's checks."""

    kind: Literal["http", "tcp"] = "http"
    path: InstancePath = "/health"
    interval_s: Seconds = 5
    timeout_s: Seconds = 1
    up: Count = 2
    """Good answers in a row."""
    down: Count = 3
    """Bad answers in a row."""
    statuses: tuple[StatusRange, ...] = ("200-399",)
    expect_headers: dict[Header, str] = Field(default_factory=dict)
    """An answer must carry them; {id} is the instance's id."""

    @field_validator("expect_headers")
    @classmethod
    def _can_be_in_an_answer(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, text in headers.items():
            if not text.isprintable() or text != text.strip():
                fix = "write printable text without spaces at its ends"
                raise ValueError(f"the value of {name} can't be in an answer: {fix}")
        return headers

    @field_validator("path", "statuses", "expect_headers")
    @classmethod
    def _needs_an_answer(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        default = cls.model_fields[info.field_name].get_default(call_default_factory=True)
        if info.data.get("kind") == "tcp" and value != default:
            raise ValueError("is for kind: http; of kind: tcp only the connection is tried")
        return value

    def policy(self) -> HealthCheckPolicy:
        ranges = tuple(_range(text) for text in self.statuses)
        values = self.model_dump(exclude={"statuses", "expect_headers"})
        return HealthCheckPolicy(**values, statuses=ranges, expect_headers=dict(self.expect_headers))


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


class ServiceSettings(Section):
    strategy: Annotated[str, OneOf(STRATEGIES, "strategy")] = "least_connections"
    timeouts: TimeoutSettings = TimeoutSettings()
    max_attempts: Annotated[Count, Field(le=10)] = 3
    instances: Annotated[tuple[InstanceUrl, ...], Listed, BeforeValidator(without_empty)] = ()
    """Fixed addresses instead of the registry; empty ones, of variables that nobody has set, don't count."""
    connections: ConnectionSettings = ConnectionSettings()
    retry_buffer_bytes: CountOrZero = 64 * 1024
    """A request body up to that size is kept for the call, so that the call can be tried again."""
    slow_start_s: SecondsOrZero = 10
    """Over so long an instance that is new, or back, comes up to its weight."""
    ejection: EjectionSettings = EjectionSettings()
    circuit: CircuitSettings | None = None
    """Null: no circuit breaker."""
    concurrency: ConcurrencySettings = ConcurrencySettings()
    retry_budget: RetryBudgetSettings = RetryBudgetSettings()
    hash: HashSettings = HashSettings()
    health_check: HealthCheckSettings | None = None
    """Null: the registry's checks only."""
    openapi: InstancePath | None = None
    """The path at which instances describe their API; it becomes part of /openapi.json."""
    zone_room: Count = 16
    """Calls of one gateway that an instance of its own zone takes before other zones get the next."""

    @field_validator("hash")
    @classmethod
    def _is_asked_for(cls, hashing: HashSettings, info: ValidationInfo) -> HashSettings:
        strategy = info.data.get("strategy")
        if strategy not in (RENDEZVOUS, None) and hashing != HashSettings():
            raise ValueError(
                f"is for strategy: {RENDEZVOUS}, and this is {strategy}: set that, or remove this"
            )
        return hashing

    def policy(self, zone: str) -> ServicePolicy:
        """As the balancer wants it; `zone` is the gateway's."""
        return ServicePolicy(
            strategy=self.strategy,
            ejection=self.ejection.policy(),
            circuit=self.circuit.policy() if self.circuit else None,
            concurrency=self.concurrency.policy(),
            retries=self.retry_budget.policy(),
            hashing=self.hash.policy(),
            slow_start_s=self.slow_start_s,
            zone=zone,
            zone_room=self.zone_room,
        )
