"""What a handler says to its clients beside the application's own messages: JSON texts with a `type`."""

from collections.abc import Mapping
from typing import Any

import orjson

from handlers.heard import Migration
from handlers.model import HandlerId

CHANGED = 2.0
"""Clients are told of advice that differs from what they hold by this factor."""


def welcome(handler: HandlerId, session_id: str) -> str:
    """The first frame of every admitted client."""
    return _frame({"type": "welcome", "handler_id": handler, "session_id": session_id})


def migrate(migration: Migration, deadline_s: float) -> str:
    """Another handler keeps a seat: connect there, and close this connection once welcomed."""
    return _frame(
        {
            "type": "migrate",
            "url": migration.url,
            "ticket": migration.ticket,
            "handler_id": migration.handler,
            "deadline_ms": max(0, round(deadline_s * 1000)),
        }
    )


def advice(reconnect: Mapping[str, Any]) -> str:
    """When to come back should this connection be lost."""
    return _frame({"type": "advice", "reconnect": dict(reconnect)})


def worth_telling(held: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the time over which clients come back has at least doubled or halved."""
    before, after = _window_ms(held), _window_ms(new)
    if before is None or after is None:
        return after is not None
    return max(before, after) >= CHANGED * min(before, after) and before != after


def _window_ms(reconnect: Mapping[str, Any]) -> float | None:
    """The later end of `first_ms`; `None` in what is no advice."""
    match reconnect.get("first_ms"):
        case [int() | float(), int() | float() as last] if 0 <= last < float("inf"):
            return float(last)
    return None


def _frame(told: dict[str, Any]) -> str:
    return orjson.dumps(told).decode()
