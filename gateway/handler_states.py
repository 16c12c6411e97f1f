"""Handlers as operators see them: the JSON of `/admin/handlers`, and how far a drain has got.

Rules of this file: numbers are as the store has them; a drain's state follows from them, and from what
somebody who waits for its end has seen meanwhile, and is kept nowhere.
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
    """Nobody is there, and nobody will come with a seat that was handed out before."""


def drain_state(state: HandlerState, *, refuses: bool = False) -> DrainState:
    """How far that handler has got; `refuses` as in `remaining`."""
    if state.drain is None:
        return DrainState.UP
    if remaining(state, refuses=refuses) == 0:
        return DrainState.DRAINED
    # A handler without our SDK has never said hello, and can't be asked to move anybody.
    return DrainState.MIGRATING if state.connections and state.epoch else DrainState.DRAINING


def remaining(state: HandlerState, *, refuses: bool = False) -> int:
    """Clients that are there, or may still come with a seat they have got.

    None of the latter do where the process `refuses` them, because it knows that it is drained.
    """
    return state.connections if refuses else state.connections + state.held


class DrainWatch:
    """What somebody has seen who waits for the end of a drain. Instants are seconds on the caller's clock.

    `patience_s` is how long after the deadline a handler's last report may come.
    """

    def __init__(self, since: float, *, patience_s: float) -> None:
        self._since = since
        self._patience_s = patience_s
        self._first_report: float | None = None
        self._deadline: float | None = None
        self.refuses = False
        """Whether the handler's process knows that it is drained. It lets clients in until its first
        report is answered, and tells of the last of them in its second."""

    def saw(self, state: HandlerState, asked_at: float, now: float) -> bool:
        """Whether there is nothing more to wait for, by what was asked for then and is known now."""
        if state.drain is None:
            return True
        if state.epoch and state.last_report_age_s is not None:
            # Somewhere in between the store has told the age: the report came neither earlier nor later.
            self._reported(asked_at - state.last_report_age_s, now - state.last_report_age_s)
        if remaining(state, refuses=self.refuses) == 0:
            return True
        if state.drain.remaining_s > 0:
            self._deadline = None
            return False
        if self._deadline is None:
            self._deadline = now
        return now >= self._deadline + self._patience_s

    def _reported(self, earliest: float, latest: float) -> None:
        if self._first_report is not None:
            self.refuses = self.refuses or earliest > self._first_report
        elif earliest > self._since:
            self._first_report = latest


def drain_body(state: HandlerState, *, refuses: bool = False) -> dict[str, object]:
    """What is answered about a drain; `refuses` as in `remaining`."""
    order = state.drain
    return {
        "handler_id": state.id,
        "state": drain_state(state, refuses=refuses).value,
        "remaining": remaining(state, refuses=refuses) if order is not None else 0,
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
