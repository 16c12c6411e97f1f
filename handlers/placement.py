"""The order in which handlers are tried: lowest load per weight first, ties to the longest unused.

One sorted list of ranks. Moving one handler is a binary search and a memory move, so it costs about
the same among ten handlers and ten thousand, and the walk past excluded handlers is a plain loop.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import islice

from handlers.model import Decision, HandlerId

Rank = tuple[float, int, HandlerId, int, int]
"""Load per weight; number of the last allocation there; the id, so that no two ranks are equal. The load and
the weight are only there to be told.

The second part spreads ties: without it the first id in the alphabet would get every first client.
"""
CANDIDATES = 8
"""The first so many of the order are told with a decision."""
ONE_MORE = 1.0
"""Load per weight by which a client's last handler may exceed the least loaded, whatever that has."""


class Order:
    """Only handlers that may be chosen stand in it: eligible, with room, and ready for one more."""

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._rank_of: dict[HandlerId, Rank] = {}

    def put(self, handler: HandlerId, load: int, weight: int, allocated: int) -> None:
        """Gives `handler` its place, instead of the one it had."""
        rank = (load / weight, allocated, handler, load, weight)
        old = self._rank_of.get(handler)
        if rank == old:
            return
        if old is not None:
            del self._ranks[bisect_left(self._ranks, old)]
        insort(self._ranks, rank)
        self._rank_of[handler] = rank

    def remove(self, handler: HandlerId) -> None:
        """Takes `handler` out; no error if it is not in."""
        rank = self._rank_of.pop(handler, None)
        if rank is not None:
            del self._ranks[bisect_left(self._ranks, rank)]

    def choose(
        self, exclude: frozenset[HandlerId], last: HandlerId | None = None, affinity: float = 0.0
    ) -> HandlerId | None:
        """The first that is not excluded; `last` instead, if it stands there with about as little load."""
        for first in self._ranks:
            if first[2] in exclude:
                continue
            if last is not None and last not in exclude:
                hinted = self._rank_of.get(last)
                if hinted is not None and is_near(hinted[0], first[0], affinity):
                    return last
            return first[2]
        return None

    def head(self, exclude: frozenset[HandlerId], last: HandlerId | None = None) -> Sequence[Rank]:
        """What `choose` depends on, and a little more: the first that are not excluded, then `last`."""
        if not exclude:
            ranks = self._ranks[:CANDIDATES]
        else:
            ranks = list(islice((rank for rank in self._ranks if rank[2] not in exclude), CANDIDATES))
        if last is not None and last not in exclude:
            hinted = self._rank_of.get(last)
            if hinted is not None and hinted not in ranks:
                ranks.append(hinted)
        return ranks

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, handler: object) -> bool:
        return handler in self._rank_of

    def __repr__(self) -> str:
        best = ", ".join(f"{rank[2]} {rank[0]:g}" for rank in self._ranks[:3])
        return f"<Order: {len(self._ranks)} with room: {best}>"


def is_near(load: float, least: float, affinity: float) -> bool:
    """Whether a client may go back to a handler with `load` per weight, where another has only `least`.

    The least is at most the mean, so nobody gets more than that share above the mean (bounded loads).
    """
    return load <= (1 + affinity) * least + ONE_MORE


def replay(decision: Decision, affinity: float) -> HandlerId:
    """The handler that this decision's inputs lead to, found without an order: it must be the chosen one."""
    allowed = [candidate for candidate in decision.candidates if candidate.handler not in decision.excluded]
    best = min(allowed, key=lambda c: (c.load / c.weight, c.allocated, c.handler))
    for candidate in allowed:
        near = is_near(candidate.load / candidate.weight, best.load / best.weight, affinity)
        if candidate.handler == decision.last and near:
            return candidate.handler
    return best.handler
