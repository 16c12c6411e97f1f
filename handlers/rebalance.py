"""How many clients the fullest handlers should give away after new ones came (ALLOCATION 2.8).

Off by default: moving costs each client a new connection. A handler gives clients away while it has a
tenth, and `MARGIN`, more than the mean; slowly; and when none is above that any more, all is left alone
for a while.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from handlers.fleet import FleetSnapshot
from handlers.model import HandlerId

ABOVE = 1.1
MARGIN = 20
"""Connections per weight. A small fleet would never be even enough without it."""
PER_S = 10.0
"""Clients that move per second, in the whole pool."""
COOL_DOWN_S = 180.0
SETTLE_S = 5.0
"""So long a client that was asked for may still be counted where it was. Who has not reported for so long
gives nobody away any more."""


@dataclass(slots=True)
class Donor:
    """A handler that gives clients away."""

    heard_at: float
    asked: deque[tuple[float, int]] = field(default_factory=deque)
    """When it was asked for how many, while they may be on their way."""
    unnamed: int = 0
    """Asked for, and not named yet."""


class Rebalance:
    """One gateway's part of it; `gateways` do theirs. Owned by one allocator."""

    def __init__(self) -> None:
        self._donors: dict[HandlerId, Donor] = {}
        self._tokens = 0.0
        self._tokens_at = float("-inf")
        self._rest_until = float("-inf")

    def wanted(
        self, handler: HandlerId, connections: int, fleet: FleetSnapshot, now: float, gateways: int
    ) -> int:
        """How many clients that handler, which has just reported so many, should move away now."""
        state = fleet.open.get(handler)
        limit = max(ABOVE * fleet.mean, fleet.mean + MARGIN)
        surplus = 0 if state is None else math.ceil(connections - limit * state.weight)
        over = {name for name, donor in self._donors.items() if donor.heard_at <= now - SETTLE_S}
        self._end(over if surplus > 0 else over | {handler}, now)
        if surplus <= 0 or now < self._rest_until:
            return 0
        donor = self._donors.setdefault(handler, Donor(now))
        donor.heard_at = now
        while donor.asked and donor.asked[0][0] <= now - SETTLE_S:
            donor.asked.popleft()
        on_their_way = sum(count for _, count in donor.asked)
        count = min(surplus - on_their_way, self._refill(now, PER_S / gateways))
        if count <= 0:
            return 0
        self._tokens -= count
        donor.asked.append((now, count))
        donor.unnamed += count
        return count

    def named(self, handler: HandlerId, count: int) -> int:
        """How many of the clients that it names now it was asked for; they are not named twice."""
        donor = self._donors.get(handler)
        if donor is None:
            return 0
        granted = min(count, donor.unnamed)
        donor.unnamed -= granted
        return granted

    def _end(self, handlers: Iterable[HandlerId], now: float) -> None:
        gave = bool(self._donors)
        for handler in handlers:
            self._donors.pop(handler, None)
        if gave and not self._donors:
            self._rest_until = now + COOL_DOWN_S

    def _refill(self, now: float, per_s: float) -> int:
        """Whole clients that may be asked for now: a second's worth at most."""
        self._tokens = min(max(1.0, per_s), self._tokens + (now - self._tokens_at) * per_s)
        self._tokens_at = now
        return int(self._tokens)

    def __repr__(self) -> str:
        return f"<Rebalance: {len(self._donors)} handlers give clients away>"
