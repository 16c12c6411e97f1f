"""What all services looked like -> what is worth keeping for the next run, and back.

Inside a process times are monotonic; in a file they are unix seconds. The two meet here and nowhere else.
"""

from collections.abc import Collection, Mapping

from registry.merge import Known, from_disk
from registry.model import ServiceName, Status
from registry.snapshot_codec import Saved, SavedService


def worth_saving(
    every: Mapping[ServiceName, Known],
    names: frozenset[ServiceName],
    names_at: float | None,
    without: Collection[ServiceName],
    *,
    now: float,
    unix_now: float,
) -> Saved | None:
    """All that was ever answered, each with its own time; `None` when that is nothing."""
    to_unix = unix_now - now
    services = {
        name: SavedService(known.snapshot.answered_at + to_unix, known.snapshot.instances)
        for name, known in every.items()
        if known.snapshot.status is Status.KNOWN
        and known.snapshot.answered_at is not None
        and name not in without
    }
    return Saved(names, names_at + to_unix, services) if services and names_at is not None else None


def resumed(
    saved: Saved, without: Collection[ServiceName], *, now: float, unix_now: float
) -> dict[ServiceName, Known]:
    """Each saved service, as it is known until the registry answers."""
    return {
        name: from_disk(name, service.instances, in_this_process(service.answered_at, now, unix_now))
        for name, service in saved.services.items()
        if name not in without
    }


def in_this_process(unix: float, now: float, unix_now: float) -> float:
    """A time of a file on this process's own clock; what lies ahead (somebody set the clock) is now."""
    return now - max(0.0, unix_now - unix)
