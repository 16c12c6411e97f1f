"""One service as an operator sees it: what the registry says, what our checks say, how calls go there.

Three verdicts stand beside each other and none hides another: the registry's (`health`), our own checks'
(`verdict`), and that of the calls (`aside`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from balancer.eligibility import InstanceState
from balancer.service import ServiceState
from registry.model import Instance, InstanceId, ServiceSnapshot


@dataclass(frozen=True, slots=True)
class ServiceView:
    """At one moment. Of a service that was never called only the snapshot is known."""

    snapshot: ServiceSnapshot
    active: Mapping[InstanceId, int] = field(default_factory=dict)
    """Calls in flight and live hand-outs."""
    states: Mapping[InstanceId, InstanceState] = field(default_factory=dict)
    panic: bool = False
    ejected: Mapping[str, int] = field(default_factory=dict)
    """Times that instances were put aside, by reason, ever growing."""
    calls: ServiceState | None = None
    checks_failed: Mapping[str, int] = field(default_factory=dict)
    """Our own questions to instances that got no good answer, by reason."""
    retries_refused: int = 0
    """Tries after a failed one that the budget had no room for."""
    hedges: Mapping[str, int] = field(default_factory=dict)
    """Calls that went to a second instance too, by whether that was first: `won`, `lost`."""
    reports: Mapping[str, int] = field(default_factory=dict)
    """What callers said of instances, by outcome."""


def service_body(view: ServiceView, now: float) -> dict[str, object]:
    """Its JSON in `/health/detailed`; `now` is monotonic seconds."""
    snapshot, age_s = view.snapshot, view.snapshot.age_s(now)
    return {
        "status": snapshot.status.value,
        "source": snapshot.source.value,
        "age_s": None if age_s is None else round(age_s, 3),
        "failure": snapshot.failure,
        "note": snapshot.note,
        "panic": view.panic,
        **_calls(view.calls),
        "ejected": _counted(view.ejected),
        "checks_failed": _counted(view.checks_failed),
        "retries_refused": view.retries_refused,
        "hedges": _counted(view.hedges),
        "reports": _counted(view.reports),
        "instances": [_instance(instance, view) for instance in snapshot.instances],
        "quarantined": [{"id": q.id, "reason": q.reason, "detail": q.detail} for q in snapshot.quarantined],
    }


def _calls(calls: ServiceState | None) -> dict[str, object]:
    if calls is None:
        return {"circuit": "closed", "in_flight": 0, "queued": 0, "limit": None, "retrying": 0}
    return {
        "circuit": calls.circuit.value,
        "in_flight": calls.in_flight,
        "queued": calls.queued,
        "limit": calls.limit,
        "retrying": calls.retrying,
    }


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    """What has happened at all. Words of closed lists become plain text, as JSON's keys must be."""
    return {str(what): count for what, count in counts.items() if count}


def _instance(instance: Instance, view: ServiceView) -> dict[str, object]:
    state = view.states.get(instance.id)
    return {
        "id": instance.id,
        "url": instance.url,
        "health": instance.health.value,
        "suspect": instance.suspect,
        "verdict": instance.verdict.value,
        "zone": instance.zone,
        "weight": instance.weight,
        "weight_now": float(instance.weight) if state is None else round(state.weight, 3),
        "active": view.active.get(instance.id, 0),
        **_aside(state),
    }


def _aside(state: InstanceState | None) -> dict[str, object]:
    if state is None:
        return {"aside": False, "aside_reason": None, "aside_for_s": 0.0, "ejections": 0}
    return {
        "aside": state.aside is not None,
        "aside_reason": None if state.aside is None else state.aside.value,
        "aside_for_s": round(state.until_in_s, 3),
        "ejections": state.ejections,
    }
