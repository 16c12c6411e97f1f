"""Handlers as operators see them: the JSON of `/admin/handlers`, and how far a drain has got.

Rules of this file: numbers are as the store has them; a state follows from them and is kept nowhere.
"""

from enum import StrEnum

from handlers.model import Decision, HandlerState
from handlers.roster import Closed


class DrainState(StrEnum):
    UP = "up"
    """Nobody wants it drained."""
    SILENT = "silent"
    """Nobody wants it drained, and its process says nothing: it has ended, or can't reach a gateway."""
    DRAINING = "draining"
    """It gets no new clients, and has none that it could move: those it has go by themselves."""
    MIGRATING = "migrating"
    """Its process moves its clients elsewhere."""
    DRAINED = "drained"
    """Nobody is there, and nobody will come with a seat that was handed out before."""


def drain_state(state: HandlerState) -> DrainState:
    """How far that handler has got, whether an operator, the registry or its own SIGTERM wants it empty."""
    if state.drain is None and not _leaves(state):
        return DrainState.SILENT if state.why_not == Closed.SILENT else DrainState.UP
    if remaining(state) == 0:
        return DrainState.DRAINED
    # A handler without our SDK has never said hello, and can't be asked to move anybody.
    return DrainState.MIGRATING if state.connections and state.epoch else DrainState.DRAINING


def remaining(state: HandlerState) -> int:
    """Clients that are there, or may still come with a seat they have got.

    None of the latter come to a process that stops: it refuses them.
    """
    return state.connections if _leaves(state) else state.connections + state.held


def _leaves(state: HandlerState) -> bool:
    return state.why_not == Closed.LEAVING


class DrainWatch:
    """What somebody has seen who waits for the end of a drain. Instants are seconds on the caller's clock.

    `patience_s` is how long after the deadline a handler's last report may come.
    """

    def __init__(self, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._deadline: float | None = None

    def saw(self, state: HandlerState, now: float) -> bool:
        """Whether there is nothing more to wait for."""
        if drain_state(state) in (DrainState.UP, DrainState.SILENT, DrainState.DRAINED):
            return True
        if state.drain is None or state.drain.remaining_s > 0:
            # A process that stops by itself has a deadline that only it knows, and is gone after that.
            self._deadline = None
            return False
        if self._deadline is None:
            self._deadline = now
        return now >= self._deadline + self._patience_s


def drain_body(state: HandlerState) -> dict[str, object]:
    """What is answered about a drain."""
    order = state.drain
    return {
        "handler_id": state.id,
        "state": drain_state(state).value,
        "remaining": remaining(state),
        "deadline_in_s": None if order is None else round(order.remaining_s, 3),
    }


def gone_body(handler: str) -> dict[str, object]:
    """The same of a handler that nobody knows any more."""
    return {
        "handler_id": handler,
        "state": DrainState.DRAINED.value,
        "remaining": 0,
        "deadline_in_s": None,
    }


def handler_body(pool: str, state: HandlerState) -> dict[str, object]:
    """Everything there is to know of a handler."""
    age_s, order = state.last_report_age_s, state.drain
    return {
        "id": state.id,
        "pool": pool,
        "url": state.url,
        "path": state.path,
        "epoch": state.epoch,
        "capacity": state.capacity,
        "weight": state.weight,
        "connections": state.connections,
        "held": state.held,
        "admin": state.admin.value,
        "eligible": state.eligible,
        "why_not": state.why_not,
        "last_report_age_s": None if age_s is None else round(age_s, 3),
        "state": drain_state(state).value,
        "drain": None
        if order is None
        else {"deadline_in_s": round(order.remaining_s, 3), "rate": order.rate},
        "tokens": round(state.tokens, 3),
        "joins_per_s": round(state.joins_per_s, 3),
    }


def decision_body(pool: str, decision: Decision) -> dict[str, object]:
    """Why that handler: what stood in the order, and what the client had said."""
    return {
        "pool": pool,
        "sequence": decision.sequence,
        "at": decision.at,
        "uid": decision.uid,
        "chosen": decision.chosen,
        "why": decision.why,
        "candidates": [
            {
                "handler_id": each.handler,
                "load": each.load,
                "weight": each.weight,
                "allocated": each.allocated,
                "score": each.load / each.weight,
            }
            for each in decision.candidates
        ],
        "excluded": list(decision.excluded),
        "last": decision.last,
    }
