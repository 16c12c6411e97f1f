"""Why a handler turns a client away, and the close code that tells the client what to do next.

A browser can't read the HTTP status of a failed handshake, so a refusal is a close frame after it.
`4400-4409` are about the ticket: it is of no use to anybody, get a new one from the gateway. `4429`,
`4503`, `1012` and `1013` are about the handler: ask the gateway again, and name this handler in
`X-Exclude-Handler`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType


class CloseCode(IntEnum):
    MALFORMED = 4400
    EXPIRED = 4401
    WRONG_HANDLER = 4403
    REPLAYED = 4409
    FULL = 4429
    DRAINING = 4503
    RESTART = 1012
    TRY_LATER = 1013


class Refusal(StrEnum):
    """The reason in the close frame, in logs and in metrics."""

    MALFORMED = "malformed"
    """Not a ticket at all, or none was shown."""
    FORGED = "forged"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    WRONG_HANDLER = "wrong_handler"
    WRONG_EPOCH = "wrong_epoch"
    UNKNOWN_KEY = "unknown_key"
    """Signed after a change of the cluster's secret that this handler has not heard of yet."""
    REPLAYED = "replayed"
    NO_TICKET = "no_ticket"
    """None came within the time for it."""
    BAD_SEQUENCE = "bad_sequence"
    """`seq` is there and is no whole number from 0 to 2**53 - 1."""
    FULL = "full"
    DRAINING = "draining"
    BUSY = "busy"
    """Too many tickets in too short a time to remember each: letting one in could let it in twice."""
    NOT_READY = "not_ready"
    """The handler has no key yet, because no gateway has answered its hello."""


CLOSE_CODES: Mapping[Refusal, CloseCode] = MappingProxyType(
    {
        Refusal.MALFORMED: CloseCode.MALFORMED,
        Refusal.FORGED: CloseCode.MALFORMED,
        Refusal.EXPIRED: CloseCode.EXPIRED,
        Refusal.NOT_YET: CloseCode.EXPIRED,
        Refusal.WRONG_HANDLER: CloseCode.WRONG_HANDLER,
        Refusal.WRONG_EPOCH: CloseCode.WRONG_HANDLER,
        Refusal.UNKNOWN_KEY: CloseCode.TRY_LATER,
        Refusal.REPLAYED: CloseCode.REPLAYED,
        Refusal.NO_TICKET: CloseCode.MALFORMED,
        Refusal.BAD_SEQUENCE: CloseCode.MALFORMED,
        Refusal.FULL: CloseCode.FULL,
        Refusal.DRAINING: CloseCode.DRAINING,
        Refusal.BUSY: CloseCode.TRY_LATER,
        Refusal.NOT_READY: CloseCode.TRY_LATER,
    }
)


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """An expected no of a handler process."""

    reason: Refusal

    @property
    def close_code(self) -> CloseCode:
        return CLOSE_CODES[self.reason]
