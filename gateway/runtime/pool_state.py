"""How the pools of handlers stand, read at a scrape: a handler that has gone takes its series with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric

from gateway.handler_states import remaining
from handlers.model import HandlerState
from handlers.outage import Mode


@dataclass(frozen=True, slots=True)
class PoolState:
    name: str
    mode: Mode
    handlers: Sequence[HandlerState] = ()
    """While the store can't be asked, as this gateway believes they are."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What became of seats by what this process has heard."""


def pool_families(pools: Sequence[PoolState]) -> Iterable[Metric]:
    """Labelled by names of the settings, the registry and handler processes."""
    mode = GaugeMetricFamily(
        "quaymaster_allocator_mode", "1 for the way seats are handed out.", labels=["pool", "mode"]
    )
    for pool in pools:
        for each in Mode:
            mode.add_metric([pool.name, each.value], int(pool.mode is each))
    yield mode
    yield from _handler_families(pools)


def _handler_families(pools: Sequence[PoolState]) -> Iterable[Metric]:
    connections = _family("connections", "As last reported.")
    held = _family("seats_held", "Reserved, not confirmed.")
    capacity = _family("capacity", "Connections it takes.")
    eligible = _family("eligible", "1 if clients are sent there.")
    joins = _family("joins_per_second", "Clients it takes in per second, less while it is new.")
    left = _family("drain_remaining", "While it drains: clients that are there, or have a seat there.")
    deadline = _family("drain_deadline_seconds", "While it drains: until it is to be empty.")
    for pool in pools:
        for state in pool.handlers:
            labels = [pool.name, state.id]
            connections.add_metric(labels, state.connections)
            held.add_metric(labels, state.held)
            capacity.add_metric(labels, state.capacity)
            eligible.add_metric(labels, int(state.eligible))
            joins.add_metric(labels, state.joins_per_s)
            if state.drain is not None:
                left.add_metric(labels, remaining(state))
                deadline.add_metric(labels, state.drain.remaining_s)
    return (connections, held, capacity, eligible, joins, left, deadline)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"quaymaster_handler_{name}", text, labels=["pool", "handler"])
