"""How a handler loses its clients: who goes first, how many at a time, and who is closed when.

Rules of this file: whoever can still be moved is moved; the rest is closed one after the other before
the deadline, never all at once, or they would all come back at once; at the deadline nobody is left.
Nothing here waits or sends: `runtime/moves.py` does what these figures say.

A drain of `d` seconds, with clients asked to move from its start:

    0 ------------------------- 0.8 d ---- closing_from ------------ closed_by - d
      as many as get done by 0.8 d           the rest is closed, spread    the last may answer
"""

import math
import random
import re
from collections.abc import Iterable
from typing import TypeVar

C = TypeVar("C")

TICK_S = 0.25
MAX_MOVES = 256
"""Clients named in one report."""
MOVING_SHARE = 0.8
"""Of the time, for moving: the rest is for those that could not be, or did not follow (ALLOCATION 2.8)."""
ANSWER_SHARE = 0.1
"""Of the closing's time, for the last client to answer its close frame."""
FOLLOW_S = 30.0
"""So long a client may take to follow; its seat elsewhere is kept no longer."""
MAX_TRIES = 3
"""So often a client is sent away before it is closed for not following."""
IDLE_S = 5.0
"""Who has neither sent nor got anything for so long hardly notices a move."""
BURST_S = 1.0
"""What could not be spent, for want of seats elsewhere, is kept for so long."""


MAX_UID = 255
"""Characters."""
_SESSION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def nameable(uid: str, session_id: str) -> bool:
    """Whether a report can name that client. Gateways hand out nothing else, and read nothing else."""
    return 0 < len(uid) <= MAX_UID and uid.isprintable() and _SESSION_ID.fullmatch(session_id) is not None


def first_to_go(clients: Iterable[tuple[C, float]], now: float, count: int) -> list[C]:
    """The `count` that move first: the idle ones, and among equals who came first.

    `clients` are pairs of a client and when it was last active, in the order in which they came.
    """
    idle: list[C] = []
    busy: list[C] = []
    for client, active_at in clients:
        if len(idle) >= count:
            break
        (idle if now - active_at >= IDLE_S else busy).append(client)
    return (idle + busy)[:count]


class DrainPace:
    """The pace of one drain that begins `now`. Instants are seconds on the caller's clock.

    `rate` is the most clients per second that may be asked to move; `None`: as many as it takes to be
    done in time. `spread_s` is how long the closing of the rest takes, at most a fifth of the drain.
    """

    def __init__(self, now: float, ends: float, *, rate: float | None = None, spread_s: float) -> None:
        self.ends = ends
        self.rate = rate
        self.closing_from = ends - min(spread_s, (1 - MOVING_SHARE) * (ends - now))
        self.closed_by = ends - ANSWER_SHARE * (ends - self.closing_from)
        self._moved_by = now + MOVING_SHARE * (ends - now)
        self._budget = 1.0
        self._at = now

    def share(self, waiting: int, now: float) -> int:
        """How many of the `waiting` clients may be asked to move now. It counts once they are `moved`.

        On schedule the rate stays `clients / (0.8 * time)`. After a time without seats elsewhere it
        rises: what the others can bear, the gateway knows, and gives no more seats than that.
        """
        left_s = max((self._moved_by if now < self._moved_by else self.ends) - now, TICK_S)
        rate = max(waiting / left_s, 1.0)
        if self.rate is not None:
            rate = min(rate, self.rate)
        most = max(rate * BURST_S, 1.0)
        self._budget = min(self._budget + rate * max(0.0, now - self._at), most)
        self._at = now
        return min(int(self._budget), waiting, MAX_MOVES)

    def moved(self, count: int) -> None:
        """So many got a seat elsewhere and were sent there."""
        self._budget -= count

    def follow_by(self, now: float, rng: random.Random) -> float:
        """When a client that is sent away now is closed, should it still be here."""
        spread = min(self.closed_by - self.closing_from, (self.closed_by - now) / 2)
        return max(now, min(now + FOLLOW_S, self.closed_by - rng.uniform(0.0, max(0.0, spread))))

    def again_at(self, now: float, tries: int, patience_s: float) -> float:
        """When a client that is sent away now, for the `tries`-th time, may be sent away once more, should
        it still be here; infinity when it may not."""
        at = now + patience_s
        return at if tries < MAX_TRIES and at < self.closing_from else math.inf

    def closing_times(self, count: int, now: float, rng: random.Random) -> list[float]:
        """When each of `count` clients that have nowhere to go is closed: spread over what is left."""
        begin = max(now, self.closing_from)
        width = max(0.0, self.closed_by - begin) / max(1, count)
        return [begin + (place + rng.random()) * width for place in range(count)]

    def __repr__(self) -> str:
        return f"<DrainPace: ends {self.ends:.3f}, at most {self.rate or 'as needed'}/s>"
