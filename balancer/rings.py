"""Which candidate a key belongs to: rendezvous hashing, with distances on rings as its scores.

A digest gives each candidate a place on each of `RINGS` rings, and each key too. A candidate's score for a
key is its shortest way from the key to itself over all rings, divided by its weight; the lowest score wins.
So it is a rendezvous (Thaler & Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998): a
score depends on nobody else, therefore a candidate that leaves, comes or changes its weight moves only
the keys that it had or gets. The order of the scores is the key's line: who is next when the first is full.

What is not theirs is the score. Scores that are independent for each pair have to be computed for everybody;
of distances only those right behind the key are looked at, so the cost does not grow with the candidates.
That is the thought of multi-probe consistent hashing (Appleton & O'Reilly, arXiv:1505.00062, 2015), which
has one ring and many probes of a key on it; there, who stands close behind another gets next to nothing.
Nobody is unlucky on all rings, so shares differ by about a tenth of their size here. The weights are our own
addition too.

Rules of this file: hashes are blake2b, never `hash()`, for all gateways must come to the same.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence, Set
from functools import lru_cache
from hashlib import blake2b
from math import inf
from struct import Struct

from balancer.candidates import Candidates
from registry.model import InstanceId

RINGS = 8
STEPS = 1 << 32
"""Of a ring: what a digest can tell apart."""
SEATS = 1 << 20
"""In each step. A point is a step and, as the seat in it, whose it is: the place among the candidates. Both
fit into the 53 bits of a float, and no service has a million instances."""
CIRCLE = float(STEPS * SEATS)
FEW = 100
"""Up to one change among so many candidates is put into the rings that there are."""
DIGEST = Struct(f"<{RINGS}I")


def steps_of(name: bytes) -> tuple[float, ...]:
    """Where it stands on each ring."""
    digest = blake2b(name, digest_size=DIGEST.size).digest()
    return tuple(step * float(SEATS) for step in DIGEST.unpack(digest))


steps_of_instance = lru_cache(maxsize=1 << 15)(steps_of)
"""Remembered, because rings are built anew whenever many of thousands come or go."""
Ring = list[float]
"""Points in their order; behind them the first once more, a round later."""


class Rings:
    """Candidates in their places. All are sorted on each ring, unless few have changed since `before`."""

    __slots__ = ("_at", "_heaviest", "_rings", "_seats", "_weights")

    def __init__(self, candidates: Candidates, before: "Rings | None" = None) -> None:
        ids = [instance.id for instance in candidates.instances]
        self._weights = candidates.weights
        self._heaviest = max(candidates.weights)
        self._seats = dict(zip(ids, range(len(ids)), strict=True))
        known = {} if before is None else before._seats
        gone, come = known.keys() - self._seats.keys(), self._seats.keys() - known.keys()
        if before is None or FEW * (len(gone) + len(come)) > len(ids):
            self._rings = _sorted_rings(ids)
        else:
            self._seats, leave, enter = _seated(known, gone, come)
            self._rings = [
                _changed(ring, [steps[n] for steps in leave], [steps[n] for steps in enter])
                for n, ring in enumerate(before._rings)
            ]
        self._at = {self._seats[id]: at for at, id in enumerate(ids)}

    def first(self, key: bytes, accepts: Callable[[int], bool]) -> int | None:
        """Where among the candidates the first of the key's line stands that is accepted."""
        weights, heaviest, best, lowest = self._weights, self._heaviest, None, inf
        # Further away than that not even the heaviest has a lower score.
        reach = CIRCLE
        for points, start in zip(self._rings, steps_of(key), strict=True):
            index = bisect_left(points, start)
            while (distance := points[index] - start) < reach:
                at = self._at[int(points[index]) % SEATS]
                score = distance / weights[at]
                if score < lowest and accepts(at):
                    best, lowest = at, score
                    reach = min(reach, score * heaviest)
                index += 1
                if index == len(points):
                    # The last point is the first one, a round later.
                    index, start = 1, start - CIRCLE
        return best

    def __repr__(self) -> str:
        return f"<Rings: {len(self._weights)} candidates>"


def _sorted_rings(ids: Sequence[InstanceId]) -> list[Ring]:
    steps = zip(*(steps_of_instance(id.encode()) for id in ids), strict=True)
    rings = (sorted(map(float.__add__, ring, map(float, range(len(ring))))) for ring in steps)
    # Copies in their order lie in memory in their order, which the search is twice as fast by.
    return [[point + 0.0 for point in ring] + [ring[0] + CIRCLE] for ring in rings]


Points = list[tuple[float, ...]]
"""For each instance, its point on each ring."""


def _seated(
    known: Mapping[InstanceId, int], gone: Set[InstanceId], come: Set[InstanceId]
) -> tuple[dict[InstanceId, int], Points, Points]:
    """Who sits where after the change; the points that leave, and those that enter on seats that are free."""
    seats = {id: seat for id, seat in known.items() if id not in gone}
    free = sorted(set(range(len(seats) + len(come))).difference(seats.values()))
    seats |= zip(sorted(come), free, strict=False)
    leave = [tuple(step + known[id] for step in steps_of_instance(id.encode())) for id in gone]
    enter = [tuple(step + seats[id] for step in steps_of_instance(id.encode())) for id in come]
    return seats, leave, enter


def _changed(ring: Ring, leave: Sequence[float], enter: Sequence[float]) -> Ring:
    points = ring[:-1]
    for point in leave:
        del points[bisect_left(points, point)]
    for point in enter:
        insort(points, point)
    return [*points, points[0] + CIRCLE]
