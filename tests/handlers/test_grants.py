import pytest

from handlers.advice import advise
from handlers.grants import grant, migration, session_of
from handlers.model import HandlerId, Jti, Seat, Uid
from handlers.ticket import Gatekeeper, Purpose, TicketClaims, TicketSecrets, verify

SECRETS = TicketSecrets("a secret of the test's own cluster")
UNIX = 1_700_000_000.5
SESSION = "0123456789abcdef" * 2


def seat(now: float = 77.25) -> Seat:
    return Seat(
        Jti("j"), Uid("ann"), HandlerId("WSH1"), 5, "https://h:1", "/ws",
        guaranteed_until=89.25, held_until=92.25, ticket_until=137.25, now=now, load=3, sequence=7,
    )  # fmt: skip


def claims_of(ticket: str) -> TicketClaims:
    key = SECRETS.key_for(HandlerId("WSH1"), 5)
    claims = verify(ticket, Gatekeeper(HandlerId("WSH1"), 5, SECRETS.issuer, {key.kid: key.key}), UNIX)
    assert isinstance(claims, TicketClaims)
    return claims


def test_the_answer_and_the_ticket_say_the_same() -> None:
    got = grant(seat(), UNIX, SECRETS, advise(3, 200.0), "s")
    assert got[:3] == ("WSH1", "https://h:1", "/ws")
    assert got[4:] == (60, 12, "s", advise(3, 200.0), "j", 7)
    assert claims_of(got.ticket) == TicketClaims(
        "quaymaster", HandlerId("WSH1"), 5, Uid("ann"), Jti("j"),
        issued_at=1_700_000_000, expires_at=1_700_000_060, guaranteed_until=1_700_000_012.5, session_id="s",
    )  # fmt: skip


def test_an_older_seat_lasts_as_long_as_is_left_of_it() -> None:
    got = grant(seat(now=80.0), UNIX, SECRETS, advise(3, 200.0), "s")
    assert (got.ticket_expires_in, got.guaranteed_for) == (57, 9)
    late = grant(seat(now=90.0), UNIX, SECRETS, advise(3, 200.0), "s")
    assert (late.ticket_expires_in, late.guaranteed_for) == (47, 0)
    assert claims_of(late.ticket).guaranteed_until == UNIX


def test_an_estimated_seat_says_so() -> None:
    assert claims_of(grant(seat(), UNIX, SECRETS, advise(3, 200.0), "s", degraded=True).ticket).degraded


def test_one_that_moves_keeps_its_session() -> None:
    move = migration(seat(), UNIX, SECRETS, SESSION)
    assert move[:3] == (SESSION, "WSH1", "wss://h:1/ws")
    claims = claims_of(move.ticket)
    assert (claims.session_id, claims.purpose, claims.degraded) == (SESSION, Purpose.MIGRATE, False)


@pytest.mark.parametrize(
    "named", [None, "", "x" * 32, SESSION[1:], SESSION + "0", SESSION.upper(), SESSION + "\n"]
)
def test_what_can_not_be_a_session_is_a_new_one(named: str | None) -> None:
    assert session_of(seat(), named) == "j"
    assert session_of(seat(), SESSION) == SESSION
