"""What was known, and what the registry says now -> what is known: bad news is distrusted.

* A failure never removes an instance. It only makes the snapshot say why nothing new comes.
* An answer that removes more than half of a service of three or more is distrusted: an agent that
  restarts answers 200 with an empty list a tenth of a second later.
* So is every loss in the first `suspect_s` after a failure has ended, of whatever size: a registry that
  was away comes back empty, or with all checks critical that nobody could feed meanwhile.
* So is the first answer after a start from the disk, and whatever is missing in an answer that the
  registry itself calls incomplete.
* A usable instance whose loss is distrusted stays, as *suspect*, until it refuses a connection or
  `suspect_s` have passed. Then the registry is believed.
* That deadline is set once, and no later answer moves it. Only an answer that holds the instance in any
  other state than critical ends the suspicion earlier, so distrust is bounded in time.
* Nothing is distrusted of a service whose addresses the settings have just changed: an operator said so.
* Our own health checks have the last word on a suspect, as in Envoy's two by two of discovery and active
  checks: while they call up what is absent it stays whatever the deadline, and once they call it down it is
  gone. What the registry calls critical when the deadline is over is believed to be critical.

      |            | up, or answering         | down                       |
      | discovered | used                     | not used, and asked again  |
      | absent     | used while it is doubted | gone                       |

* The version grows when the content changes, and only then; unchanged tuples stay the same objects.

Not here: who connects to the suspects (the watcher does), and what an instance may look like
(admission.py).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from registry.model import (
    FILTERED,
    Endpoint,
    Failed,
    Gone,
    Health,
    Instance,
    InstanceId,
    InstanceKey,
    Seen,
    ServiceName,
    ServiceSnapshot,
    Source,
    Status,
    Update,
    Verdict,
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
    renewed: bool = False
    """The settings say anew where it is: its next answer is believed whole."""

    @property
    def suspects(self) -> tuple[Instance, ...]:
        return tuple(i for i in self.snapshot.instances if i.suspect)


def nothing_known(service: ServiceName) -> Known:
    """Before the registry's first answer."""
    return Known(snapshot(service, Status.UNREACHABLE))


def from_disk(service: ServiceName, instances: Iterable[Instance], answered_at: float) -> Known:
    """What the last run knew, until the registry answers. `answered_at` is on this process's own clock."""
    ordered = tuple(sorted(instances, key=lambda i: i.id))
    return Known(
        snapshot(
            service,
            Status.KNOWN,
            version=1,
            instances=ordered,
            answered_at=answered_at,
            source=Source.DISK,
        ),
        said=ordered,
    )


def merge(known: Known, update: Update, now: float, *, suspect_s: float = SUSPECT_S) -> Known:
    """Takes in one update. `now` is monotonic seconds."""
    old = known.snapshot
    if isinstance(update, Failed):
        return replace(known, snapshot=_published(old, replace(old, failure=update.reason)))
    if isinstance(update, Gone):
        never_seen = known.renewed or old.status is not Status.KNOWN
        seen = Seen((), note=update.note)
        status = Status.UNKNOWN if never_seen else Status.KNOWN
    else:
        seen, status = update, Status.KNOWN
    was_away = not known.renewed and (old.failure is not None or old.source is Source.DISK)
    doubtful_until = now + suspect_s if was_away and old.answered_at is not None else known.doubtful_until
    present = {i.id: i for i in seen.instances}
    doubted = () if known.renewed else old.instances
    suspects = {i.id: i for i in _distrusted(doubted, present, now < doubtful_until, seen.note == FILTERED)}
    instances = sorted({**present, **suspects}.values(), key=lambda i: i.id)
    content = replace(
        old,
        status=status,
        instances=_judged(instances, _verdicts(old.instances)),
        quarantined=seen.quarantined,
        answered_at=now,
        failure=None,
        source=Source.REGISTRY,
        note=seen.note,
    )
    deadlines = {name: known.deadlines.get(name, now + suspect_s) for name in suspects}
    return Known(_published(old, content), MappingProxyType(deadlines), seen.instances, doubtful_until)


def _distrusted(
    old: Collection[Instance], present: Mapping[InstanceId, Instance], doubtful: bool, incomplete: bool
) -> Iterator[Instance]:
    """The instances to keep as they were although the answer takes them out of use."""
    missing = sum(i.id not in present for i in old)
    mass_removal = len(old) >= SMALLEST_DISTRUSTED and 2 * missing > len(old)
    for instance in old:
        said = present.get(instance.id)
        if said is not None and (said.health is not Health.CRITICAL or said.key != instance.key):
            continue
        lost = instance.usable and (doubtful or (said is None and (mass_removal or incomplete)))
        if instance.suspect or lost:
            yield replace(instance, suspect=True)


def judge(known: Known, verdicts: Mapping[Endpoint, Verdict], now: float) -> Known:
    """Takes in what our own checks say; who is not in `verdicts` is not checked."""
    return _believed(known, _judged(known.snapshot.instances, verdicts), now, frozenset())


def _judged(instances: Iterable[Instance], verdicts: Mapping[Endpoint, Verdict]) -> tuple[Instance, ...]:
    """The instances with our own verdicts; those that have theirs already stay the same objects."""
    return tuple(
        i if i.verdict is verdict else replace(i, verdict=verdict)
        for i in instances
        for verdict in (verdicts.get(i.endpoint, Verdict.UNCHECKED),)
    )


def _verdicts(instances: Iterable[Instance]) -> Mapping[Endpoint, Verdict]:
    return {i.endpoint: i.verdict for i in instances if i.verdict is not Verdict.UNCHECKED}


def believe(known: Known, now: float, refused: Collection[Instance] = ()) -> Known:
    """Takes the registry's word for the suspects that nothing speaks for any more.

    These are those whose time is over (unless they are absent and our checks call them up), those that our
    checks call down, and those that `refused` a connection. An instance that came back, or was replaced,
    since the connection was tried is left alone.
    """
    return _believed(known, known.snapshot.instances, now, {i.key for i in refused})


def _believed(
    known: Known, instances: tuple[Instance, ...], now: float, absent: Collection[InstanceKey]
) -> Known:
    """`known` with these instances, without the suspects among them that nothing speaks for."""
    said = {i.id: i for i in known.said}

    def over_for(suspect: Instance) -> bool:
        if suspect.verdict is Verdict.DOWN or suspect.key in absent:
            return True
        vouched = suspect.verdict is Verdict.UP and suspect.id not in said
        return now >= known.deadlines[suspect.id] and not vouched

    over = {i.id for i in instances if i.suspect and over_for(i)}
    old = known.snapshot
    if not over and instances is old.instances:
        return known
    believed = (said.get(i.id) if i.id in over else i for i in instances)
    left = _judged((i for i in believed if i is not None), _verdicts(instances))
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
            source=new.source,
            note=new.note,
        )
    same = replace(new, instances=old.instances, usable=old.usable)
    unchanged = replace(same, answered_at=old.answered_at) == old
    return same if unchanged else replace(same, version=old.version + 1)
