"""What gateway and handler tell a chat client, read: a place to connect to, a move, advice.

Rules of this file: whatever comes in, the answer is a value; nothing that comes over the wire raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

CONNECT_S = 8.0
"""So long a handler may take for the handshake and its welcome."""
LONGEST_S = 600.0
"""Nobody is told to wait for longer, whatever an answer says."""
PROTOCOL = "wst.v1"


class Destination(NamedTuple):
    """A handler that expects us."""

    handler: str
    url: str
    ticket: str | None
    """`None` from a gateway that hands out no tickets: then there is no welcome either."""
    session_id: str | None

    @property
    def protocols(self) -> tuple[str, ...]:
        return () if self.ticket is None else (PROTOCOL, f"wst.{self.ticket}")


class Move(NamedTuple):
    to: Destination
    within_s: float


@dataclass(frozen=True, slots=True)
class ReconnectAdvice:
    """When to come back, as the gateway and the handler advise it; all in seconds."""

    first_s: tuple[float, float] = (0.0, 1.0)
    base_s: float = 1.0
    cap_s: float = 30.0


def read_advice(told: object, known: ReconnectAdvice) -> ReconnectAdvice:
    """The advice of a `reconnect` object; what is missing or makes no sense stays as it was."""
    if not isinstance(told, dict):
        return known
    window = told.get("first_ms")
    first = list(map(seconds_in, window)) if isinstance(window, list) else []
    low, high = (first[0], first[1]) if len(first) == 2 else (None, None)
    base, cap = seconds_in(told.get("base_ms")), seconds_in(told.get("cap_ms"))
    return ReconnectAdvice(
        (min(low, high), max(low, high)) if low is not None and high is not None else known.first_s,
        known.base_s if base is None else base,
        known.cap_s if cap is None else cap,
    )


def seconds_in(milliseconds: object) -> float | None:
    """Seconds of a number of milliseconds, at most `LONGEST_S`; `None` when it is none."""
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool) or not milliseconds >= 0:
        return None
    return min(milliseconds / 1000, LONGEST_S)


def read_destination(body: Mapping[str, Any]) -> Destination | None:
    """Where the gateway's 200 sends us; `None` when it names no place."""
    handler, url = body.get("handler_id"), body.get("websocket_url")
    if url is None and isinstance(base := body.get("websocket_handler_url"), str):
        url = base.replace("http", "ws", 1) + "/ws"
    if not isinstance(handler, str) or not isinstance(url, str) or not _scheme(url):
        return None
    return Destination(handler, url, text_in(body.get("ticket")), text_in(body.get("session_id")))


def read_move(frame: Mapping[str, Any], at: Destination) -> Move | None:
    """The move that a migrate frame asks for; `None` for one that must not be followed.

    The frame came over the authenticated connection, so its word is good for the place; but an
    encrypted connection is never given up for an open one (RFC 6120 4.9.3.19 has the same rule).
    """
    handler, url, ticket = frame.get("handler_id"), frame.get("url"), frame.get("ticket")
    if not isinstance(handler, str) or not isinstance(url, str) or not isinstance(ticket, str):
        return None
    if not _scheme(url) or (_scheme(at.url) == "wss" and _scheme(url) != "wss"):
        return None
    within_s = seconds_in(frame.get("deadline_ms"))
    to = Destination(handler, url, ticket, at.session_id)
    return Move(to, CONNECT_S if within_s is None else min(within_s, CONNECT_S))


def _scheme(url: str) -> str | None:
    """`ws` or `wss` of a URL that a socket may be opened to, else `None`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme if parts.scheme in ("ws", "wss") and parts.hostname else None


def text_in(value: object) -> str | None:
    """A text that says something."""
    return value if isinstance(value, str) and value else None


def with_seq(url: str, seq: int | None) -> str:
    """The URL to connect to: it tells the handler the last number we have."""
    if seq is None:
        return url
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({"seq": seq}))))
    return urlunsplit(parts._replace(query=query))
