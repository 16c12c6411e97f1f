"""How a client shows its ticket, in order of preference.

`Sec-WebSocket-Protocol: wst.v1, wst.<jwt>`, which is answered with `wst.v1`; a first frame
`{"type": "auth", "ticket": "<jwt>"}`; or `?ticket=<jwt>`, which ends up in logs and is discouraged.
"""

from collections.abc import Iterable

import orjson

PROTOCOL = "wst.v1"
PREFIX = "wst."


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


def in_frame(text: str) -> str | None:
    """The ticket in a first frame, `None` when it is anything else."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(frame, dict) or frame.get("type") != "auth":
        return None
    ticket = frame.get("ticket")
    return ticket if isinstance(ticket, str) else None
