"""What was known, and what the registry says now -> what is known: bad news is distrusted.

* A failure never removes an instance. It only makes the snapshot say why nothing new comes.
* An answer that removes more than half of a service of three or more is distrusted: an agent that
  restarts answers 200 with an empty list a tenth of a second later. Each usable instance that it
  leaves out stays, as *suspect*, until it refuses a connection or `suspect_s` have passed.
* That deadline is set once, when the instance goes missing, and no later answer moves it. Only an
  answer that holds the instance again ends the suspicion, so distrust is bounded in time.
* The version grows when the content changes, and only then; unchanged tuples stay the same objects.

Not here: who connects to the suspects (the watcher does), and what an instance may look like
(admission.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from registry.model import (
    Failed,
    Gone,
    Instance,
    InstanceId,
    Seen,
    ServiceName,
    ServiceSnapshot,
    Status,
    Update,
    snapshot,
)

SUSPECT_S = 10.0
SMALLEST_DISTRUSTED = 3
"""One of two leaving is everyday life, and so is the last one of a service that is taken down."""


@dataclass(frozen=True, slots=True)
class Known:
    """One service: the snapshot that readers get, and until when each suspect is kept."""

    snapshot: ServiceSnapshot
    deadlines: Mapping[InstanceId, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def suspects(self) -> tuple[Instance, ...]:
        return tuple(i for i in self.snapshot.instances if i.suspect)


def nothing_known(service: ServiceName) -> Known:
    """Before the registry's first answer."""
    return Known(snapshot(service, Status.UNREACHABLE))


def merge(known: Known, update: Update, now: float, *, suspect_s: float = SUSPECT_S) -> Known:
    """Takes in one update. `now` is monotonic seconds."""
    old = known.snapshot
    if isinstance(update, Failed):
        return replace(known, snapshot=_published(old, replace(old, failure=update.reason)))
    if isinstance(update, Gone):
        never_seen = old.status is not Status.KNOWN
        seen, status = Seen(()), Status.UNKNOWN if never_seen else Status.KNOWN
    else:
        seen, status = update, Status.KNOWN
    present = {i.id: i for i in seen.instances}
    kept, deadlines = _missing(known, present.keys(), now + suspect_s)
    return Known(
        _published(
            old,
            replace(
                old,
                status=status,
                instances=tuple(sorted((*present.values(), *kept), key=lambda i: i.id)),
                quarantined=seen.quarantined,
                answered_at=now,
                failure=None,
            ),
        ),
        deadlines,
    )


def _missing(
    known: Known, present: Collection[InstanceId], deadline: float
) -> tuple[list[Instance], Mapping[InstanceId, float]]:
    """The instances to keep although the answer leaves them out, and the deadlines of all suspects."""
    old = known.snapshot.instances
    missing = [i for i in old if i.id not in present]
    distrusted = len(old) >= SMALLEST_DISTRUSTED and 2 * len(missing) > len(old)
    kept = [
        i if i.suspect else replace(i, suspect=True)
        for i in missing
        if i.suspect or (distrusted and i.health.usable)
    ]
    return kept, MappingProxyType({i.id: known.deadlines.get(i.id, deadline) for i in kept})


def believe(known: Known, now: float, refused: Collection[Instance] = ()) -> Known:
    """Drops the suspects whose time is over, and those that `refused` a connection.

    An instance that came back, or was replaced, since the connection was tried is left alone.
    """
    gone = {
        i.id for i in known.suspects if now >= known.deadlines[i.id] or any(i.key == r.key for r in refused)
    }
    if not gone:
        return known
    old = known.snapshot
    left = tuple(i for i in old.instances if i.id not in gone)
    return Known(
        _published(old, replace(old, instances=left)),
        MappingProxyType({i: at for i, at in known.deadlines.items() if i not in gone}),
    )


def _published(old: ServiceSnapshot, new: ServiceSnapshot) -> ServiceSnapshot:
    """`new` with its derived parts: a new version when its content differs, else only a new age."""
    if new.instances != old.instances:
        return snapshot(
            new.service,
            new.status,
            version=old.version + 1,
            instances=new.instances,
            quarantined=new.quarantined,
            answered_at=new.answered_at,
            failure=new.failure,
        )
    same = replace(new, instances=old.instances, usable=old.usable)
    unchanged = replace(same, answered_at=old.answered_at) == old
    return same if unchanged else replace(same, version=old.version + 1)
