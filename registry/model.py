"""The words of discovery: instances, their health, and one immutable snapshot per service.

Rules of this file: frozen values only. A snapshot is replaced whole by one assignment, so a reader
that took it once never sees instances without their health.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NewType

ServiceName = NewType("ServiceName", str)
InstanceId = NewType("InstanceId", str)
InstanceKey = tuple[InstanceId, str]
Endpoint = tuple[InstanceKey, str, int, bool]

NO_META: Mapping[str, str] = MappingProxyType({})


class Health(StrEnum):
    """What the registry says of an instance, worst last."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"

    @property
    def usable(self) -> bool:
        """Whether calls may go there. A warning still serves, with its (lower) warning weight."""
        return self in (Health.PASSING, Health.WARNING)


class Verdict(StrEnum):
    """What our own health checks say of an instance, apart from what the registry says."""

    UNCHECKED = "unchecked"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service, as the registry describes it.

    `host` is the address as registered and goes into URLs that are handed out; `ip` is the literal
    it resolved to and is what calls connect to, so that the checked address is the used address.

    `incarnation` tells two processes with the same id apart. It is the `incarnation` of the meta
    when the process says one, else "host:port": a catalogue that forgets and re-learns the same
    process must not lose its counts.
    """

    id: InstanceId
    service: ServiceName
    host: str
    port: int
    ip: str
    health: Health = Health.PASSING
    weight: int = 1
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=lambda: NO_META, hash=False)
    incarnation: str = ""
    suspect: bool = False
    """Gone from the registry by an update that was distrusted; usable while it accepts connections."""
    zone: str = ""
    """Where it runs, by its own meta `zone` or its node's; empty when neither says."""
    verdict: Verdict = Verdict.UNCHECKED

    key: "InstanceKey" = field(init=False, repr=False, compare=False)
    """What counters belong to: the id and the incarnation."""
    endpoint: "Endpoint" = field(init=False, repr=False, compare=False)
    """What connections belong to: the key, the IP, the port and whether TLS is spoken there."""

    def __post_init__(self) -> None:
        if not self.incarnation:
            object.__setattr__(self, "incarnation", f"{self.host}:{self.port}")
        key = (self.id, self.incarnation)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "endpoint", (key, self.ip, self.port, self.tls))

    @property
    def usable(self) -> bool:
        """Whether calls may go there: by the registry, unless it is doubted, and by our own checks."""
        return (self.health.usable or self.suspect) and self.verdict is not Verdict.DOWN

    @property
    def authority(self) -> str:
        """`host:port`, with brackets around an IPv6 literal."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where peers reach it: `http://host:port`, or https when its meta says `scheme: https`."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def tls(self) -> bool:
        """Whether its meta says `scheme: https`."""
        return self.meta.get("scheme") == "https"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A registration that was left out, alone, with the reason an operator can act on."""

    id: str
    service: ServiceName
    reason: str
    """One of a closed set (`bad_port`, `bad_address`, `not_allowed`, `bad_meta`, …): a metric label."""
    detail: str


class Status(StrEnum):
    """What is known of a service: three values that must never be mixed up."""

    UNREACHABLE = "unreachable"
    """The registry has not answered yet. Nothing may be concluded."""
    UNKNOWN = "unknown"
    """The registry answered that there is no such service."""
    KNOWN = "known"
    """The service exists, perhaps with no instance at all."""


class Source(StrEnum):
    """Where what is known comes from."""

    REGISTRY = "registry"
    DISK = "disk"
    """The file of the last run: the registry has not answered yet."""


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """Everything known of one service at one moment. Build it with `snapshot`."""

    service: ServiceName
    status: Status
    version: int
    """Grows by one with every published change."""
    instances: tuple[Instance, ...]
    """Every valid instance, whatever its health."""
    usable: tuple[Instance, ...]
    """Those that calls may go to: usable health or suspect. Same order as `instances`."""
    quarantined: tuple[Quarantined, ...] = ()
    answered_at: float | None = None
    """Monotonic seconds of the registry's last answer (before this process started, when the source is the
    disk), `None` before the first."""
    failure: str | None = None
    """Why the registry can't be asked at the moment, `None` while it answers."""
    source: Source = Source.REGISTRY
    note: str | None = None
    """What is amiss although the registry answers: one of the notes of `Seen`."""

    def age_s(self, now: float) -> float | None:
        """Seconds since the registry's last answer, `None` before the first."""
        return None if self.answered_at is None else max(0.0, now - self.answered_at)


def snapshot(
    service: ServiceName,
    status: Status,
    *,
    version: int = 0,
    instances: tuple[Instance, ...] = (),
    quarantined: tuple[Quarantined, ...] = (),
    answered_at: float | None = None,
    failure: str | None = None,
    source: Source = Source.REGISTRY,
    note: str | None = None,
) -> ServiceSnapshot:
    """A snapshot with its derived part (`usable`) built."""
    return ServiceSnapshot(
        service=service,
        status=status,
        version=version,
        instances=instances,
        usable=tuple(i for i in instances if i.usable),
        quarantined=quarantined,
        answered_at=answered_at,
        failure=failure,
        source=source,
        note=note,
    )


NO_LEADER = "no_leader"
"""The registry answers from what it knew when it last had a leader."""
FILTERED = "filtered"
"""The token may not see everything: what is missing may be there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The registry answered: these are all registrations of the service, at least one."""

    instances: tuple[Instance, ...]
    quarantined: tuple[Quarantined, ...] = ()
    note: str | None = None
    """Why to take the answer with a grain of salt: `NO_LEADER`, `FILTERED`; a metric label."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The registry answered: there is no registration of that name."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The registry could not be asked, or its answer can't be believed."""

    reason: str
    """One of a closed set (`unreachable`, `denied`, `bad_answer`, `silent`, `moved`): a metric label."""
    detail: str


Update = Seen | Gone | Failed


class RegistryError(Exception):
    """The registry could not do what was asked.

    RegistryError
    ├─ Unreachable   nobody answers, or not in time
    ├─ Denied        the token may not do that
    ├─ NotRegistered the registry has forgotten that instance: register it again
    └─ BadAnswer     an answer that can't be understood
    """

    reason = "registry_error"


class Unreachable(RegistryError):
    reason = "unreachable"


class Denied(RegistryError):
    reason = "denied"


class NotRegistered(RegistryError):
    reason = "not_registered"


class BadAnswer(RegistryError):
    reason = "bad_answer"
