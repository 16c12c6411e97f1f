"""What an operator wants to know of discovery, counted: the numbers behind metrics and `__repr__`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.model import Health, ServiceName, ServiceSnapshot, Source, Status, Verdict


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """One service at one moment."""

    service: ServiceName
    status: Status
    age_s: float | None
    """Seconds since the registry's last answer, `None` before the first."""
    failure: str | None
    instances: Mapping[Health, int]
    """How many by health, all four present; suspects are counted under their last known health."""
    suspects: int
    quarantined: Mapping[str, int]
    """How many by reason."""
    source: Source = Source.REGISTRY
    note: str | None = None
    """What is amiss although the registry answers."""
    verdicts: Mapping[Verdict, int] = field(default_factory=dict)
    """How many by what our own checks say, all three present."""
    checks_failed: Mapping[str, int] = field(default_factory=dict)
    """Questions that got no good answer, in total, by kind (health_checks.Answer)."""


@dataclass(frozen=True, slots=True)
class WatchStats:
    """All of a watcher at one moment; the totals are since its start."""

    services: tuple[ServiceStats, ...]
    names_age_s: float | None
    failures: Mapping[str, int]
    """Failed updates in total, by reason."""
    index_resets: int
    restarts: int
    """Watches that fell silent or died, and were opened again."""
    failovers: int = 0
    """Times the watches went from one address of the registry to another."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """Answers in total that came with a note: `no_leader`, `filtered`."""
    saved_age_s: float | None = None
    """Since the disk snapshot was last written, `None` while there is none."""
    save_failures: int = 0


def service_stats(
    snapshot: ServiceSnapshot, now: float, checks_failed: Mapping[str, int] | None = None
) -> ServiceStats:
    """Counts one snapshot. `now` is monotonic seconds."""
    found = Counter(i.health for i in snapshot.instances)
    judged = Counter(i.verdict for i in snapshot.instances)
    return ServiceStats(
        service=snapshot.service,
        status=snapshot.status,
        age_s=snapshot.age_s(now),
        failure=snapshot.failure,
        instances={health: found[health] for health in Health},
        suspects=sum(i.suspect for i in snapshot.instances),
        quarantined=dict(Counter(q.reason for q in snapshot.quarantined)),
        source=snapshot.source,
        note=snapshot.note,
        verdicts={verdict: judged[verdict] for verdict in Verdict},
        checks_failed=dict(checks_failed or {}),
    )
