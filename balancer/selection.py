"""Which instance gets this call: filter, order, accept.

Rules of this file: eligibility lives here and nowhere else; the order is the strategy's. A call is
never refused because of a cool-down alone, and never sent twice to the same instance.
"""

from dataclasses import dataclass

from balancer.cooldown import CooldownLedger
from balancer.load import LoadLedger
from balancer.model import Refused, RefusedReason
from balancer.strategies import Strategy
from registry.model import Instance, InstanceId, ServiceSnapshot, Status


@dataclass(slots=True)
class Chosen:
    instance: Instance


def refusal(snapshot: ServiceSnapshot) -> Refused | None:
    """Why no call can go to that service at all, or `None` when there is somebody to choose."""
    if snapshot.usable:
        return None
    if snapshot.instances:
        return Refused(RefusedReason.NO_HEALTHY_INSTANCE)
    match snapshot.status:
        case Status.UNREACHABLE:
            return Refused(RefusedReason.REGISTRY_UNREACHABLE)
        case Status.UNKNOWN:
            return Refused(RefusedReason.UNKNOWN_SERVICE)
        case Status.KNOWN:
            return Refused(RefusedReason.NO_INSTANCES)


def choose(
    snapshot: ServiceSnapshot,
    loads: LoadLedger,
    cooldowns: CooldownLedger,
    tried: frozenset[InstanceId],
    strategy: Strategy,
    now: float,
) -> Chosen | Refused:
    """One usable instance that was not tried yet, or why there is none. `now` is monotonic seconds."""
    usable = snapshot.usable
    if not usable and (refused := refusal(snapshot)) is not None:
        return refused
    accept = _has_weight
    if tried or cooldowns.entries:

        def accept(instance: Instance) -> bool:
            return instance.weight > 0 and instance.id not in tried and not cooldowns.cooling(instance, now)

    picked = strategy.pick(usable, loads.at(now), accept)
    if picked is not None:
        return Chosen(picked)
    # Weight 0 means "only when there is nobody else", and so does cooling down.
    last_resorts = [i for i in usable if i.id not in tried]
    if not last_resorts:
        return Refused(RefusedReason.ALL_TRIED)
    return Chosen(min(last_resorts, key=cooldowns.until))


def _has_weight(instance: Instance) -> bool:
    return instance.weight > 0
