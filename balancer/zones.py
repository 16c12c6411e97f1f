"""Instances of the gateway's own zone come first, while they have room.

Between zones a call costs a millisecond and money; an overloaded instance next door costs more than both.
So the own zone is preferred (as Envoy's zone-aware routing does) up to a load per instance and no further.
"""

from collections.abc import Sequence

from balancer.candidates import Candidates, candidates
from registry.model import Instance


def local(instances: Sequence[Instance], weights: Sequence[float], zone: str) -> Candidates | None:
    """Those of `zone`, or `None` when they don't come first: there are none, or no others, or all of them are
    new or ask for less, and would get all that they are spared."""
    if not zone:
        return None
    near = [at for at, instance in enumerate(instances) if instance.zone == zone]
    if len(near) == len(instances) or all(weights[at] < instances[at].weight for at in near):
        return None
    return candidates([instances[at] for at in near], [weights[at] for at in near])


def has_room(load: int, weight: float, room: int) -> bool:
    """Whether one more call is within what an instance of the own zone takes before others get the next."""
    return load + 1 <= room * weight
