"""What an operator wants to know of discovery, counted: the numbers behind metrics and `__repr__`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from registry.model import Health, ServiceName, ServiceSnapshot, Status


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


def service_stats(snapshot: ServiceSnapshot, now: float) -> ServiceStats:
    """Counts one snapshot. `now` is monotonic seconds."""
    found = Counter(i.health for i in snapshot.instances)
    return ServiceStats(
        service=snapshot.service,
        status=snapshot.status,
        age_s=snapshot.age_s(now),
        failure=snapshot.failure,
        instances={health: found[health] for health in Health},
        suspects=sum(i.suspect for i in snapshot.instances),
        quarantined=dict(Counter(q.reason for q in snapshot.quarantined)),
    )
