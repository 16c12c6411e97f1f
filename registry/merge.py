"""What was known, and what the registry says now -> what is known: bad news is distrusted.

* A failure never removes an instance. It only makes the snapshot say why nothing new comes.
* An answer that removes more than half of a service of three or more is distrusted: an agent that
  restarts answers 200 with an empty list a tenth of a second later.
* So is every loss in the first `suspect_s` after a failure has ended, of whatever size: a registry that
  was away comes back empty, or with all checks critical that nobody could feed meanwhile.
* A usable instance whose loss is distrusted stays, as *suspect*, until it refuses a connection or
  `suspect_s` have passed. Then the registry is believed.
* That deadline is set once, and no later answer moves it. Only an answer that holds the instance in any
  other state than critical ends the suspicion earlier, so distrust is bounded in time.
* The version grows when the content changes, and only then; unchanged tuples stay the same objects.

Not here: who connects to the suspects (the watcher does), and what an instance may look like
(admission.py).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from registry.model import (
    Failed,
    Gone,
    Health,
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
    said: tuple[Instance, ...] = ()
    """The registry's last answer, as it will be believed in the end."""
    doubtful_until: float = -inf
    """Until then every loss is distrusted: the registry was away a moment ago."""

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
    came_back = old.failure is not None and old.answered_at is not None
    doubtful_until = now + suspect_s if came_back else known.doubtful_until
    present = {i.id: i for i in seen.instances}
    suspects = {i.id: i for i in _distrusted(old.instances, present, doubtful=now < doubtful_until)}
    instances = sorted({**present, **suspects}.values(), key=lambda i: i.id)
    content = replace(
        old,
        status=status,
        instances=tuple(instances),
        quarantined=seen.quarantined,
        answered_at=now,
        failure=None,
    )
    deadlines = {name: known.deadlines.get(name, now + suspect_s) for name in suspects}
    return Known(_published(old, content), MappingProxyType(deadlines), seen.instances, doubtful_until)


def _distrusted(
    old: Collection[Instance], present: Mapping[InstanceId, Instance], *, doubtful: bool
) -> Iterator[Instance]:
    """The instances to keep as they were although the answer takes them out of use."""
    missing = sum(i.id not in present for i in old)
    mass_removal = len(old) >= SMALLEST_DISTRUSTED and 2 * missing > len(old)
    for instance in old:
        said = present.get(instance.id)
        if said is not None and (said.health is not Health.CRITICAL or said.key != instance.key):
            continue
        lost = instance.health.usable and (doubtful or (mass_removal and said is None))
        if instance.suspect or lost:
            yield replace(instance, suspect=True)


def believe(known: Known, now: float, refused: Collection[Instance] = ()) -> Known:
    """Takes the registry's word for the suspects whose time is over, and those that `refused` a connection.

    An instance that came back, or was replaced, since the connection was tried is left alone.
    """
    over = {
        i.id for i in known.suspects if now >= known.deadlines[i.id] or any(i.key == r.key for r in refused)
    }
    if not over:
        return known
    old = known.snapshot
    said = {i.id: i for i in known.said}
    believed = (said.get(i.id) if i.id in over else i for i in old.instances)
    left = tuple(i for i in believed if i is not None)
    deadlines = {i: at for i, at in known.deadlines.items() if i not in over}
    return replace(
        known, snapshot=_published(old, replace(old, instances=left)), deadlines=MappingProxyType(deadlines)
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
