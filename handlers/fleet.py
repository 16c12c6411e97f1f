"""What answers need to know of all handlers together: an immutable view, replaced whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from handlers.advice import Advice, advise
from handlers.model import HandlerId, HandlerState
from handlers.roster import FULL


@dataclass(frozen=True, slots=True)
class FleetSnapshot:
    accepts_per_s: float
    """Of a handler alone: it must take its clients in itself, restarted."""
    open: Mapping[HandlerId, HandlerState] = field(default_factory=dict)
    """Handlers that may get clients, or could if they had room."""
    others_accept_per_s: Mapping[HandlerId, float] = field(default_factory=dict)
    """For each handler, what the open ones beside it take in together."""
    mean: float = 0.0
    """Connections per weight of the open handlers."""

    def advice(self, handler: HandlerId, connections: int) -> Advice:
        """If that handler dies, the others take its clients."""
        return advise(connections, self.others_accept_per_s.get(handler, self.accepts_per_s))


def fleet(states: Iterable[HandlerState], accepts_per_s: float) -> FleetSnapshot:
    """`accepts_per_s`: what one handler takes in when nobody knows better."""
    known = tuple(states)
    takers = {state.id: state for state in known if state.why_not in ("", FULL)}
    rates = {name: state.joins_per_s or accepts_per_s for name, state in takers.items()}
    total = sum(rates.values())
    others = {state.id: total - rates.get(state.id, 0.0) or accepts_per_s for state in known}
    weight = sum(state.weight for state in takers.values())
    mean = sum(state.connections for state in takers.values()) / weight if weight else 0.0
    return FleetSnapshot(accepts_per_s, takers, others, mean)
