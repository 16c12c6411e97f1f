"""What a microservice is told of a peer: the one it gets, and whom to turn to when that one fails.

Rules of this file: all of it follows from who may be picked and how busy they are. An answer may be kept
for as long as the candidates are the same ones.
"""

from collections.abc import Callable, Collection
from hashlib import blake2b
from heapq import nsmallest

from balancer.candidates import Candidates
from registry.model import Instance, InstanceId

ALTERNATES = 3
LOOKED_AT = 16
"""Instances among which the alternates are chosen; of a larger service others each time."""


def etag(candidates: Candidates) -> str:
    """Changes with the instances that may be picked: who they are, where, and their registered weights.

    It is the same at every gateway that sees the same. The weight of the moment is left out, which grows by
    steps while an instance is new and is no news to a caller.
    """
    lines = "\0".join(sorted(f"{i.id}\n{i.url}\n{i.weight}" for i in candidates.instances))
    return f'"{blake2b(lines.encode(), digest_size=12).hexdigest()}"'


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether a caller that says so has what `tag` stands for (RFC 9110, 13.1.2: weak comparison)."""
    names = (name.strip(" \t").removeprefix("W/") for name in if_none_match.split(","))
    return any(name in (tag, "*") for name in names)


def alternates(
    chosen: Instance,
    candidates: Candidates,
    load_of: Callable[[Instance], int],
    *,
    without: Collection[InstanceId] = (),
    turn: int = 0,
) -> list[Instance]:
    """Up to `ALTERNATES` others, the least busy first, those of the gateway's zone before all others.

    Of a large service only some are looked at, which ones `turn` says: not all callers should have the
    same next one.
    """
    left_out = {chosen.id, *without}
    found: list[Instance] = []
    for group in (candidates.local, candidates):
        if group is not None and len(found) < ALTERNATES:
            found += _least_busy(group, load_of, left_out, turn, ALTERNATES - len(found))
            left_out.update(instance.id for instance in found)
    return found


def _least_busy(
    group: Candidates,
    load_of: Callable[[Instance], int],
    left_out: Collection[InstanceId],
    turn: int,
    count: int,
) -> list[Instance]:
    size = len(group)
    looked_at = [(turn + n) % size for n in range(min(size, LOOKED_AT))]
    eligible = [n for n in looked_at if group.instances[n].id not in left_out]
    best = nsmallest(count, eligible, key=lambda n: (load_of(group.instances[n]) + 1) / group.weights[n])
    return [group.instances[n] for n in best]


def peer_body(chosen: Instance, others: Collection[Instance], ttl_s: float) -> dict[str, object]:
    """The answer's JSON."""
    return {"instance": _told(chosen), "alternates": [_told(other) for other in others], "ttl_s": ttl_s}


def _told(instance: Instance) -> dict[str, str]:
    return {"url": instance.url, "id": instance.id}
