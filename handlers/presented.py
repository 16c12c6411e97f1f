"""What a client shows when it comes: its ticket, and how far it has read.

The ticket, in order of preference: `Sec-WebSocket-Protocol: wst.v1, wst.<jwt>`, which is answered with
`wst.v1`; a first frame `{"type": "auth", "ticket": "<jwt>"}`; or `?ticket=<jwt>`, which ends up in logs
and is discouraged. The number of the last message it got from an earlier handler comes as `?seq=` of
the URL, or as `"seq"` of the first frame.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from handlers.closing import Refusal, TurnedAway

PROTOCOL = "wst.v1"
PREFIX = "wst."
MAX_SEQUENCE = 2**53 - 1
"""The largest number that JavaScript counts to without a gap."""
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)


class Shown(NamedTuple):
    """A first frame with a ticket. `seq` is as it came: `sequence` tells whether it is a number."""

    ticket: str
    seq: Any = None


def in_handshake(protocols: str, query: str | None) -> str | None:
    """The ticket among the offered subprotocols (the header's value), else the query's."""
    for offered in split(protocols):
        if holds_ticket(offered):
            return offered[len(PREFIX) :]
    return query or None


def holds_ticket(offered: str) -> bool:
    """Whether an offered subprotocol is a ticket and not the protocol's name."""
    return offered.startswith(PREFIX) and offered != PROTOCOL


def split(protocols: str) -> Iterable[str]:
    """The offered subprotocols of a header's value."""
    return (name.strip() for name in protocols.split(","))


def in_frame(text: str) -> Shown | None:
    """What a first frame shows, `None` when it is anything else."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(frame, dict) or frame.get("type") != "auth":
        return None
    ticket = frame.get("ticket")
    return Shown(ticket, frame.get("seq")) if isinstance(ticket, str) else None


def in_query(values: Sequence[str]) -> int | str | None:
    """The value of `?seq=` for `sequence`; several are no number."""
    if len(values) != 1:
        return None if not values else ",".join(values)
    return int(values[0]) if _DIGITS.fullmatch(values[0]) else values[0]


def sequence(shown: Any) -> int | TurnedAway | None:
    """How far the client has read; `None` for one that does not say.

    What is no number is refused: read as "nothing so far" it would repeat messages, or lose them.
    """
    if shown is None:
        return None
    if type(shown) is int and 0 <= shown <= MAX_SEQUENCE:
        return shown
    return TurnedAway(Refusal.BAD_SEQUENCE)
