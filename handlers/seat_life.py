"""The life of a seat, as a literal table.

Rules of this file: every transition is in `LIFE` and nowhere else; what is not there can't happen,
and `step` raises before anything has changed.

A seat is *held* (counted against the capacity) only while RESERVED. In STANDBY its ticket is still
good, but finds room only if there is some. ACTIVE seats are not counted here: the handler's own
connection count has them.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class SeatState(StrEnum):
    RESERVED = "reserved"
    STANDBY = "standby"
    ACTIVE = "active"
    DONE = "done"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    LOST = "lost"


class SeatEvent(StrEnum):
    CONFIRM = "confirm"
    """The handler reports that the ticket was used."""
    CLOSE = "close"
    """The handler reports that the connection has ended."""
    HOLD_ENDS = "hold_ends"
    TICKET_ENDS = "ticket_ends"
    CANCEL = "cancel"
    """The client never got the ticket; or it is in STANDBY, and the client got a newer one instead."""
    ADMIT = "admit"
    """The handler asked for a late ticket and there was room."""
    LOSE = "lose"
    """The handler's incarnation is over."""


_S, _E = SeatState, SeatEvent

# A member that is looked up in its enum costs as much as a call; these are asked for with every seat.
RESERVED, STANDBY, HOLD_ENDS = SeatState.RESERVED, SeatState.STANDBY, SeatEvent.HOLD_ENDS

LIFE: Mapping[tuple[SeatState, SeatEvent], SeatState] = MappingProxyType(
    {
        (_S.RESERVED, _E.CONFIRM): _S.ACTIVE,
        (_S.RESERVED, _E.CLOSE): _S.DONE,
        (_S.RESERVED, _E.HOLD_ENDS): _S.STANDBY,
        (_S.RESERVED, _E.CANCEL): _S.CANCELLED,
        (_S.RESERVED, _E.ADMIT): _S.RESERVED,
        (_S.RESERVED, _E.LOSE): _S.LOST,
        (_S.STANDBY, _E.CONFIRM): _S.ACTIVE,
        (_S.STANDBY, _E.CLOSE): _S.DONE,
        (_S.STANDBY, _E.TICKET_ENDS): _S.EXPIRED,
        (_S.STANDBY, _E.CANCEL): _S.CANCELLED,
        (_S.STANDBY, _E.ADMIT): _S.RESERVED,
        (_S.STANDBY, _E.LOSE): _S.LOST,
        # A report is repeated until it is acknowledged, so a confirmation may come again.
        (_S.ACTIVE, _E.CONFIRM): _S.ACTIVE,
        (_S.ACTIVE, _E.CLOSE): _S.DONE,
        (_S.ACTIVE, _E.LOSE): _S.LOST,
    }
)

COUNTED: Mapping[SeatEvent, str] = MappingProxyType(
    {
        _E.CONFIRM: "confirmed",
        _E.TICKET_ENDS: "expired",
        _E.CANCEL: "cancelled",
        _E.CLOSE: "closed",
    }
)
"""What is counted of seats that get a new state; the metric labels."""
LATE = "late"
"""Tickets let in after their guarantee: counted when the handler asks, whatever their state was."""

UNCONFIRMED = frozenset({SeatState.RESERVED, SeatState.STANDBY})
OVER = frozenset({SeatState.DONE, SeatState.EXPIRED, SeatState.CANCELLED, SeatState.LOST})


class ImpossibleStep(Exception):
    """A bug of the caller: this event can't happen to a seat in this state."""


def step(state: SeatState, event: SeatEvent) -> SeatState:
    """The state after `event`. Raises `ImpossibleStep` for a pair that is not in the table."""
    after = LIFE.get((state, event))
    if after is None:
        raise ImpossibleStep(f"a seat that is {state.value} can't {event.value}")
    return after
