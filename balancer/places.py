"""Where each instance of a service stands, and the candidates that come of it.

Each discovered instance has one place, the first that fits:

* nowhere: it is in maintenance, an operator's word.
* unreachable: it takes no connections. A reserve.
* unusable: for the registry, or for our own health checks. Nowhere, but in panic.
* suspected: put aside by statistics. A reserve, but in panic.
* parked: its weight is 0. A reserve.
* ready: a candidate.

In panic the unusable and the suspected are ready or parked, too, by their weight.

When nobody is ready the parked ones are candidates, and when there are none the suspected ones. So whoever
has no candidates at all has nobody but unreachable reserves.

Panic is Envoy's ("Panic threshold"): when fewer than `panic_percent` are ready or parked, something is wrong
with the verdicts or with everything, and the few that are left would only be overrun.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from balancer import slow_start, zones
from balancer.candidates import Candidates, candidates
from balancer.policy import ServicePolicy
from balancer.record import Reason, Record
from registry.model import Health

SPARED = 0.1
"""Of its weight that an instance has which asked for fewer calls."""


@dataclass(slots=True)
class Places:
    """Build it with `places`."""

    ready: list[Record] = field(default_factory=list)
    parked: list[Record] = field(default_factory=list)
    suspected: list[Record] = field(default_factory=list)
    unusable: list[Record] = field(default_factory=list)
    unreachable: list[Record] = field(default_factory=list)

    def too_few(self, percent: int) -> bool:
        """Whether fewer than `percent` are in order."""
        fine = len(self.ready) + len(self.parked)
        return 100 * fine < percent * (
            fine + len(self.suspected) + len(self.unusable) + len(self.unreachable)
        )

    def candidates(self, policy: ServicePolicy, now: float, *, panic: bool) -> tuple[Candidates, float]:
        """Whom a call may go to, and until when that holds if nothing happens."""
        doubted = (*self.suspected, *self.unusable) if panic else ()
        tiers = [
            [*self.ready, *(record for record in doubted if record.instance.weight > 0)],
            [*self.parked, *(record for record in doubted if record.instance.weight == 0)],
            [] if panic else _soonest_first(self.suspected),
        ]
        chosen = next(filter(None, tiers), [])
        weights, until = _weights(chosen, policy.slow_start_s, now)
        instances = [record.instance for record in chosen]
        reserves = [
            record.instance
            for tier in (*tiers, _soonest_first(self.unreachable))
            if tier is not chosen
            for record in tier
            if record.usable or panic
        ]
        local = zones.local(instances, weights, policy.zone)
        return candidates(instances, weights, reserves=reserves, panic=panic, local=local), until


def places(records: Sequence[Record]) -> Places:
    """Of the instances that these records are about."""
    made = Places()
    ready = made.ready
    for record in records:
        instance = record.instance
        if record.reason is None and record.left_at == inf:
            (ready if instance.weight > 0 else made.parked).append(record)
        elif instance.health is Health.MAINTENANCE:
            continue
        elif record.reason is Reason.CONNECT_FAILURES:
            made.unreachable.append(record)
        else:
            (made.suspected if record.usable else made.unusable).append(record)
    return made


def kept(old: Candidates, new: Candidates) -> Candidates:
    """The old object if the new one says the same: strategies keep what they derive under its identity."""
    return old if _parts(old) == _parts(new) and _parts(old.local) == _parts(new.local) else new


def _parts(c: Candidates | None) -> tuple[object, ...]:
    return () if c is None else (c.instances, c.weights, c.reserves, c.panic)


def _soonest_first(aside: list[Record]) -> list[Record]:
    return sorted(aside, key=lambda record: record.until)


def _weights(records: Sequence[Record], slow_start_s: float, now: float) -> tuple[list[float], float]:
    weights = [float(record.instance.weight or 1) for record in records]
    shares, until = slow_start.shares([record.new_at for record in records], slow_start_s, now)
    if shares is not None:
        weights = [weight * share for weight, share in zip(weights, shares, strict=True)]
    spared = [at for at, record in enumerate(records) if record.slow_until > now]
    for at in spared:
        weights[at] *= SPARED
        until = min(until, records[at].slow_until)
    return weights, until
