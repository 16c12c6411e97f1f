"""Which instance gets this call: who is eligible, in the strategy's order.

Rules of this file: a call is never sent twice to the same instance, and an instance that nothing speaks
for is still asked when there is nobody else.
"""

from balancer.eligibility import EligibilityLedger
from balancer.load import LoadLedger
from balancer.model import Refused, RefusedReason, Subset
from balancer.strategies import Strategy
from balancer.zones import has_room
from registry.model import Health, Instance, InstanceId, ServiceSnapshot, Status


def refusal(snapshot: ServiceSnapshot) -> Refused | None:
    """Why no call can go to that service at all, or `None` when there may be somebody to choose.

    An instance that is not usable counts as somebody: in panic it is, unless it is in maintenance.
    """
    if snapshot.usable or any(i.health is not Health.MAINTENANCE for i in snapshot.instances):
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
    eligible: EligibilityLedger,
    loads: LoadLedger,
    strategy: Strategy,
    tried: frozenset[InstanceId],
    key: bytes,
    now: float,
    *,
    repeatable: bool = False,
    probes: bool = True,
    hand_out: bool = False,
    reserves: bool = True,
    subset: Subset | None = None,
) -> Instance | Refused:
    """One instance that was not tried yet, or why there is none. `now` is monotonic seconds.

    `repeatable` says that the call may be sent again if this try fails, so it may find out whether an
    instance is back. Without `probes` it may not: one call finds out about one instance, or it could spend
    all its tries on those that are dead. `hand_out` says that it is no call of ours: we would not see how
    it ends. Without `reserves` nobody is chosen while there are candidates, though all be in `tried`: for
    who can wait. With a `subset` it is one of those (or of the others, as `Subset.or_others` says).
    """
    if not snapshot.usable and (refused := refusal(snapshot)) is not None:
        return refused
    among = eligible.candidates(snapshot, now, hand_out=hand_out, subset=subset)
    excluded = tried
    if eligible.put_aside:
        if probes and not hand_out:
            back = eligible.probe(snapshot, tried, now, repeatable=repeatable, subset=subset)
            if back is not None:
                return back
        if eligible.fresh:
            excluded = tried | eligible.fresh
    picked = None
    if among.local is not None:
        near = strategy.pick(among.local, loads, excluded, key, now)
        if near is not None and has_room(loads.load_of(near), near.weight, eligible.policy.zone_room):
            picked = near
    if picked is None:
        picked = strategy.pick(among, loads, excluded, key, now)
    if picked is None and excluded is not tried:
        among = eligible.renew(snapshot, now, hand_out=hand_out, subset=subset)
        picked = strategy.pick(among, loads, tried, key, now)
    if picked is None and (reserves or not among.instances):
        picked = eligible.reserve(among, tried, now, hand_out=hand_out)
    if picked is not None:
        return picked
    if among.instances:
        return Refused(RefusedReason.ALL_TRIED)
    if subset is not None and not subset.or_others and not eligible.has_any(subset, now):
        return Refused(RefusedReason.NO_INSTANCES)
    return Refused(RefusedReason.NO_HEALTHY_INSTANCE)
