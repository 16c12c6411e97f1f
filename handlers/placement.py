"""The order in which handlers are tried: lowest load per weight first, ties to the longest unused.

One sorted list of ranks. Moving one handler is a binary search and a memory move, so it costs about
the same among ten handlers and ten thousand, and the walk past excluded handlers is a plain loop.
"""

from bisect import bisect_left, insort

from handlers.model import HandlerId

Rank = tuple[float, int, HandlerId]
"""Load per weight; number of the last allocation there; the id, so that no two ranks are equal.

The second part spreads ties: without it the first id in the alphabet would get every first client.
"""


class Order:
    """Only handlers that may be chosen stand in it: eligible, and with room."""

    def __init__(self) -> None:
        self._ranks: list[Rank] = []
        self._rank_of: dict[HandlerId, Rank] = {}

    def put(self, handler: HandlerId, load: int, weight: int, allocated: int) -> None:
        """Gives `handler` its place, instead of the one it had."""
        rank = (load / weight, allocated, handler)
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

    def first(self, exclude: frozenset[HandlerId], hint: HandlerId | None = None) -> HandlerId | None:
        """The first that is not excluded; `hint` instead if it stands there with the same load."""
        for score, _, handler in self._ranks:
            if handler in exclude:
                continue
            if hint is not None and hint not in exclude:
                hinted = self._rank_of.get(hint)
                if hinted is not None and hinted[0] == score:
                    return hint
            return handler
        return None

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, handler: object) -> bool:
        return handler in self._rank_of

    def __repr__(self) -> str:
        best = ", ".join(f"{handler} {score:g}" for score, _, handler in self._ranks[:3])
        return f"<Order: {len(self._ranks)} with room: {best}>"
