"""Instances of the gateway's own zone come first, while they have room.

Between zones a call costs a millisecond and money; an overloaded instance next door costs more than both.
So the own zone is preferred (as Envoy's zone-aware routing does) up to a load per instance and no further.
"""

from collections.abc import Sequence

from balancer.candidates import Candidates, candidates
from registry.model import Instance


def local(instances: Sequence[Instance], weights: Sequence[float], zone: str) -> Candidates | None:
    """Those of `zone`, or `None` when that makes no difference: there are none, or no others."""
    if not zone:
        return None
    near = [at for at, instance in enumerate(instances) if instance.zone == zone]
    if not near or len(near) == len(instances):
        return None
    return candidates([instances[at] for at in near], [weights[at] for at in near])


def has_room(load: int, weight: float, room: int) -> bool:
    """Whether one more call is within what an instance of the own zone takes before others get the next."""
    return load + 1 <= room * weight
