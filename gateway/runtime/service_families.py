"""The series of services: what is labelled by an instance is read from those that are there."""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from balancer.circuit import State
from gateway.service_views import ServiceView
from registry.model import Verdict


def service_families(views: Sequence[ServiceView], now: float) -> Iterable[Metric]:
    """Of every service that is watched; `now` is monotonic seconds."""
    yield from _discovered(views, now)
    yield from _judged(views)
    yield from _called(views)


def _discovered(views: Sequence[ServiceView], now: float) -> Iterable[Metric]:
    instances = _gauge("instances", "Instances by what the registry says.", "service", "health")
    usable = _gauge(
        "instances_usable",
        "Instances that calls may go to, by the registry and by our own checks.",
        "service",
    )
    verdicts = _gauge("instances_checked", "Instances by what our own checks say.", "service", "verdict")
    quarantined = _gauge("instances_quarantined", "Registrations left out.", "service", "reason")
    age = _gauge("discovery_age_seconds", "Since the registry's last answer.", "service")
    source = _gauge("discovery_source", "1 for where the view of a service comes from.", "service", "source")
    for snapshot in (view.snapshot for view in views):
        _count(
            instances,
            snapshot.service,
            ["suspect" if i.suspect else i.health.value for i in snapshot.instances],
        )
        usable.add_metric([snapshot.service], len(snapshot.usable))
        checked = [i.verdict.value for i in snapshot.instances if i.verdict is not Verdict.UNCHECKED]
        _count(verdicts, snapshot.service, checked)
        _count(quarantined, snapshot.service, [q.reason for q in snapshot.quarantined])
        source.add_metric([snapshot.service, snapshot.source.value], 1)
        if (seconds := snapshot.age_s(now)) is not None:
            age.add_metric([snapshot.service], seconds)
    return (instances, usable, verdicts, quarantined, age, source)


def _judged(views: Sequence[ServiceView]) -> Iterable[Metric]:
    ejected = CounterMetricFamily(
        "quaymaster_ejections",
        "Times that instances were put aside for the way their calls ended.",
        labels=["service", "reason"],
    )
    aside = _gauge("instances_aside", "Instances that are put aside.", "service", "reason")
    panic = _gauge("service_panic", "1 while so few are usable that all are used.", "service")
    weight = _gauge(
        "instance_weight",
        "The weight of the moment, where it is not the registered one.",
        "service",
        "instance",
    )
    for view in views:
        service = view.snapshot.service
        for reason, count in view.ejected.items():
            ejected.add_metric([service, reason], count)
        _count(aside, service, [state.aside.value for state in view.states.values() if state.aside])
        panic.add_metric([service], view.panic)
        for instance in view.snapshot.instances:
            state = view.states.get(instance.id)
            if state is not None and state.weight != instance.weight:
                weight.add_metric([service, instance.id], state.weight)
    return (ejected, aside, panic, weight)


def _called(views: Sequence[ServiceView]) -> Iterable[Metric]:
    active = _gauge("upstream_in_flight", "Calls in flight and live hand-outs.", "service", "instance")
    circuit = _gauge("circuit", "1 for the state of a service's circuit.", "service", "state")
    calls = _gauge("service_calls", "Calls under way, waiting for room, and tried again.", "service", "state")
    limit = _gauge("service_limit", "Calls that may be under way at the moment.", "service")
    for view in views:
        service, state = view.snapshot.service, view.calls
        for instance, count in view.active.items():
            active.add_metric([service, instance], count)
        if state is None:
            continue
        for one in State:
            circuit.add_metric([service, one.value], state.circuit is one)
        calls.add_metric([service, "in_flight"], state.in_flight)
        calls.add_metric([service, "queued"], state.queued)
        calls.add_metric([service, "retrying"], state.retrying)
        if state.limit is not None:
            limit.add_metric([service], state.limit)
    return (active, circuit, calls, limit)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"quaymaster_{name}", text, labels=labels)


def _count(family: GaugeMetricFamily, service: str, values: Iterable[str]) -> None:
    for value, count in sorted(Counter(values).items()):
        family.add_metric([service, value], count)
