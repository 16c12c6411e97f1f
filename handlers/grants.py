"""Signs a seat's ticket and makes the client's answer of it.

Store time and unix time: a seat's clock may be any clock, so its instants are never read as unix times. It
carries the `now` of its answer; what is left until `guaranteed_until` and `ticket_until` is a duration,
and is added to the unix time `before` the store was asked. So a slow answer shortens a guarantee and
never makes it longer than the store's hold.
"""

import re

from handlers.address import websocket_url
from handlers.advice import Advice
from handlers.answers import Grant, Migration
from handlers.model import Seat
from handlers.ticket import CONNECT, Purpose, TicketSecrets

_SESSION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def session_of(seat: Seat, resumed: str | None) -> str:
    """The session that a client says it resumes, if it can be one; else a new one.

    Anybody can name any session, so an application keys its own by user and session.
    """
    return resumed if resumed is not None and _SESSION_ID.fullmatch(resumed) else seat.jti


def grant(
    seat: Seat,
    before: float,
    secrets: TicketSecrets,
    advice: Advice,
    session_id: str,
    *,
    degraded: bool = False,
) -> Grant:
    """What the client of that seat is answered."""
    lasts_ms, guaranteed_ms = _lasts_ms(seat)
    ticket = _ticket(seat, before, lasts_ms, guaranteed_ms, secrets, session_id, CONNECT, degraded)
    return Grant(
        seat.handler,
        seat.url,
        seat.path,
        ticket,
        lasts_ms // 1000,
        guaranteed_ms // 1000,
        session_id,
        advice,
        seat.jti,
        seat.sequence,
    )


def migration(seat: Seat, before: float, secrets: TicketSecrets, session_id: str) -> Migration:
    """For a client that keeps its session on the way to another handler."""
    ticket = _ticket(seat, before, *_lasts_ms(seat), secrets, session_id, Purpose.MIGRATE, degraded=False)
    return Migration(session_id, seat.handler, websocket_url(seat.url, seat.path), ticket)


def _lasts_ms(seat: Seat) -> tuple[int, int]:
    """Ticket and guarantee, in whole milliseconds, so that 59.999999999 is a minute and not 59 seconds."""
    lasts_ms = round((seat.ticket_until - seat.now) * 1000)
    guaranteed_ms = round((seat.guaranteed_until - seat.now) * 1000)
    return lasts_ms, max(0, min(guaranteed_ms, lasts_ms))


def _ticket(
    seat: Seat,
    before: float,
    lasts_ms: int,
    guaranteed_ms: int,
    secrets: TicketSecrets,
    session_id: str,
    purpose: Purpose,
    degraded: bool,
) -> str:
    return secrets.signer_for(seat.handler, seat.epoch).sign(
        seat.uid,
        seat.jti,
        int(before),
        int(before + lasts_ms / 1000),
        round(before * 1000 + guaranteed_ms) / 1000,
        session_id,
        purpose,
        degraded,
    )
