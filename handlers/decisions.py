"""The last choices of a pool, with all that they depended on, so that an operator can ask for the reason."""

from collections import deque
from collections.abc import Sequence

from handlers.model import Candidate, Decision, HandlerId, SeatRequest
from handlers.placement import Rank

KEPT = 1000
"""Decisions of one pool. They are as many seconds as it hands out seats by the thousand, and no more."""


class Decisions:
    """Kept as they fell: what is made for every seat is one tuple, and the words are found when asked for."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, float, SeatRequest, HandlerId, Sequence[Rank]]] = deque(maxlen=KEPT)

    def record(
        self, sequence: int, now: float, request: SeatRequest, chosen: HandlerId, head: Sequence[Rank]
    ) -> None:
        """The choice with that number; each is one higher than the last. `head` is `Order.head` before it."""
        self._kept.append((sequence, now, request, chosen, head))

    def get(self, sequence: int) -> Decision | None:
        """`None` for one that was long ago, or has not been made yet."""
        index = sequence - self._kept[0][0] if self._kept else -1
        if not 0 <= index < len(self._kept):
            return None
        sequence, at, request, chosen, head = self._kept[index]
        return Decision(
            sequence=sequence,
            at=at,
            uid=request.uid,
            chosen=chosen,
            why="least_loaded" if chosen == head[0][2] else "affinity",
            candidates=tuple(
                Candidate(handler, load, weight, allocated) for _, allocated, handler, load, weight in head
            ),
            excluded=tuple(sorted(request.exclude)),
            last=request.last,
        )

    def __repr__(self) -> str:
        return f"<Decisions: {len(self._kept)} kept>"
