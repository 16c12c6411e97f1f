"""Handlers as operators see them: the JSON of `/admin/handlers`, and how far a drain has got.

Rules of this file: numbers are as the store has them; a drain's state follows from them and is kept nowhere.
"""

from enum import StrEnum

from handlers.model import Decision, HandlerState


class DrainState(StrEnum):
    UP = "up"
    """Nobody wants it drained."""
    DRAINING = "draining"
    """It gets no new clients, and has none that it could move: those it has go by themselves."""
    MIGRATING = "migrating"
    """Its process moves its clients elsewhere."""
    DRAINED = "drained"
    """Nobody is there, and nobody has a seat there that is still kept."""


def drain_state(state: HandlerState) -> DrainState:
    """How far that handler has got."""
    if state.drain is None:
        return DrainState.UP
    if remaining(state) == 0:
        return DrainState.DRAINED
    # A handler without our SDK has never said hello, and can't be asked to move anybody.
    return DrainState.MIGRATING if state.connections and state.epoch else DrainState.DRAINING


def remaining(state: HandlerState) -> int:
    """Clients that are there, or may still come with a seat they have got."""
    return state.connections + state.held


def is_over(state: HandlerState) -> bool:
    """Whether there is nothing to wait for: nobody is left, the deadline has passed, or it is up again."""
    return state.drain is None or remaining(state) == 0 or state.drain.remaining_s <= 0


def drain_body(state: HandlerState) -> dict[str, object]:
    """What is answered about a drain."""
    order = state.drain
    return {
        "handler_id": state.id,
        "state": drain_state(state).value,
        "remaining": remaining(state) if order is not None else 0,
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
