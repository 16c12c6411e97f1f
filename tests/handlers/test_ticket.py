"""What a handler accepts as a ticket, and what it must not: RELIABILITY 3.5 W1-W4 and finding 3."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.closing import Refusal, TurnedAway
from handlers.model import HandlerId, Jti, Uid
from handlers.ticket import (
    LEEWAY_S,
    LONGEST,
    Gatekeeper,
    HandlerKey,
    Purpose,
    TicketClaims,
    TicketSecrets,
    audience,
    sign,
    verify,
)

NOW = 1_700_000_000.0
WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
SECRETS = TicketSecrets("one secret of the cluster, 32 bytes")
CLAIMS = TicketClaims(
    issuer="quaymaster",
    handler=WSH1,
    epoch=1_700_000_000_000,
    uid=Uid("ann"),
    jti=Jti("0" * 32),
    issued_at=int(NOW),
    expires_at=int(NOW) + 60,
    guaranteed_until=NOW + 12,
    session_id="s" * 32,
)
KEY = SECRETS.key_for(WSH1, CLAIMS.epoch)
TICKET = sign(CLAIMS, KEY)


def gatekeeper(
    secrets: TicketSecrets = SECRETS, handler: HandlerId = WSH1, epoch: int = CLAIMS.epoch
) -> Gatekeeper:
    keys = (secrets.key_for(handler, epoch), *secrets.previous_for(handler, epoch))
    return Gatekeeper(handler, epoch, secrets.issuer, {key.kid: key.key for key in keys})


def refused(ticket: str, keeper: Gatekeeper | None = None, now: float = NOW) -> Refusal:
    verdict = verify(ticket, keeper or gatekeeper(), now)
    assert isinstance(verdict, TurnedAway)
    return verdict.reason


def forged(claims: dict[str, Any], header: dict[str, Any] | None = None, key: bytes = KEY.key) -> str:
    """Signed as PyJWT signs, with whatever is asked for."""
    told = jwt.decode(TICKET, options={"verify_signature": False}) | claims
    return jwt.encode(told, key, "HS256", {"typ": "wst+jwt", "kid": KEY.kid} | (header or {}))


def test_what_we_sign_is_what_pyjwt_reads() -> None:
    told = jwt.decode_complete(TICKET, KEY.key, algorithms=["HS256"], options={"verify_signature": False})
    assert told["header"] == {"alg": "HS256", "typ": "wst+jwt", "kid": KEY.kid}
    assert told["payload"] == {
        "iss": "quaymaster",
        "aud": "wsh:WSH1",
        "hep": CLAIMS.epoch,
        "sub": "ann",
        "jti": CLAIMS.jti,
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 60,
        "gua": NOW + 12,
        "sid": CLAIMS.session_id,
        "pur": "connect",
        "deg": 0,
    }
    jwt.decode(
        TICKET,
        KEY.key,
        algorithms=["HS256"],
        audience=audience(WSH1),
        options={"verify_exp": False},
    )
    assert len(TICKET) < 600


@example(uid="half a pair: \ud800", degraded=False, purpose=Purpose.CONNECT, guaranteed=0)
@given(
    uid=st.text(st.characters(), max_size=64),
    degraded=st.booleans(),
    purpose=st.sampled_from(Purpose),
    guaranteed=st.integers(0, 60_000),
)
def test_a_ticket_says_what_was_signed(uid: str, degraded: bool, purpose: Purpose, guaranteed: int) -> None:
    claims = CLAIMS._replace(
        uid=Uid(uid),
        degraded=degraded,
        purpose=purpose,
        guaranteed_until=NOW + guaranteed / 1000,
    )
    assert verify(sign(claims, KEY), gatekeeper(), NOW) == claims


@given(name=st.text(min_size=1, max_size=50), epoch=st.integers(0, 2**53))
def test_whatever_a_handler_is_called_its_tickets_are_good(name: str, epoch: int) -> None:
    """Their shared beginning is encoded apart from the rest."""
    handler = HandlerId(name)
    claims = CLAIMS._replace(handler=handler, epoch=epoch)
    ticket = SECRETS.signer_for(handler, epoch).sign(*claims[3:])
    assert ticket == sign(claims, SECRETS.key_for(handler, epoch))
    assert verify(ticket, gatekeeper(handler=handler, epoch=epoch), NOW) == claims


def test_it_lasts_from_its_beginning_to_its_end_give_or_take_two_seconds() -> None:
    end = CLAIMS.expires_at + LEEWAY_S
    assert verify(TICKET, gatekeeper(), NOW - LEEWAY_S) == CLAIMS
    assert verify(TICKET, gatekeeper(), end - 0.001) == CLAIMS
    assert refused(TICKET, now=NOW - LEEWAY_S - 0.001) is Refusal.NOT_YET
    assert refused(TICKET, now=end) is Refusal.EXPIRED


def test_another_handlers_ticket_is_sent_back_with_that_reason() -> None:
    assert refused(TICKET, gatekeeper(handler=WSH2)) is Refusal.WRONG_HANDLER


def test_a_restart_voids_every_older_ticket() -> None:
    assert refused(TICKET, gatekeeper(epoch=CLAIMS.epoch + 1)) is Refusal.WRONG_EPOCH


def test_a_stolen_handler_forges_tickets_for_nobody_but_itself() -> None:
    stolen = SECRETS.key_for(WSH2, CLAIMS.epoch)
    assert refused(sign(CLAIMS, stolen)) is Refusal.FORGED
    assert refused(forged({}, key=stolen.key)) is Refusal.FORGED
    assert refused(forged({"aud": audience(WSH2)})) is Refusal.WRONG_HANDLER
    assert refused(forged({"hep": 1})) is Refusal.WRONG_EPOCH


def test_tickets_of_the_secret_before_stay_good_and_unknown_ones_are_told_apart() -> None:
    rotated = TicketSecrets("the cluster's next secret, 32 bytes", "one secret of the cluster, 32 bytes")
    assert verify(TICKET, gatekeeper(rotated), NOW) == CLAIMS
    assert verify(sign(CLAIMS, rotated.key_for(WSH1, CLAIMS.epoch)), gatekeeper(rotated), NOW) == CLAIMS
    assert refused(sign(CLAIMS, rotated.key_for(WSH1, CLAIMS.epoch))) is Refusal.UNKNOWN_KEY


@pytest.mark.parametrize(
    "ticket",
    [
        pytest.param("", id="empty"),
        pytest.param("abc", id="no dots"),
        pytest.param("a.b.c", id="no base64"),
        pytest.param("ü.b.c", id="not ascii"),
        pytest.param("a" * (LONGEST + 1), id="too long"),
        pytest.param(forged({}, {"typ": "JWT"}), id="another type: a session token"),
        pytest.param(jwt.encode({"sub": "ann"}, KEY.key, "HS256"), id="a session token with our key"),
        pytest.param(
            jwt.encode(
                jwt.decode(TICKET, options={"verify_signature": False}),
                "",
                "none",
                {"typ": "wst+jwt", "kid": KEY.kid},
            ),
            id="no algorithm",
        ),
        pytest.param(
            jwt.encode(
                {"sub": "x"}, b"k" * 48, "HS384", {"typ": "wst+jwt", "kid": KEY.kid}
            ),
            id="another algorithm",
        ),
        pytest.param(forged({}, {"crit": ["x"], "x": 1}), id="unknown crit"),
        pytest.param(forged({"iss": "somebody"}), id="another issuer"),
        pytest.param(forged({"sub": 7}), id="sub is a number"),
        pytest.param(forged({"jti": None}), id="no jti"),
        pytest.param(forged({"exp": str(int(NOW) + 60)}), id="exp is a text"),
        pytest.param(forged({"exp": True}), id="exp is true"),
        pytest.param(forged({"gua": [1]}), id="gua is a list"),
        pytest.param(forged({"pur": "steal"}), id="unknown purpose"),
        pytest.param(forged({"nbf": 0}), id="valid before it was issued"),
    ],
)  # fmt: skip
def test_what_is_no_ticket(ticket: str) -> None:
    assert refused(ticket) is Refusal.MALFORMED


@pytest.mark.parametrize(
    "claim", ["iss", "aud", "hep", "sub", "jti", "iat", "nbf", "exp", "gua", "sid", "pur"]
)
def test_every_claim_is_needed(claim: str) -> None:
    told = jwt.decode(TICKET, options={"verify_signature": False})
    del told[claim]
    ticket = jwt.encode(told, KEY.key, "HS256", {"typ": "wst+jwt", "kid": KEY.kid})
    assert refused(ticket) is Refusal.MALFORMED


@pytest.mark.parametrize("kid", ["", "x", 7, None, ["a"]])
def test_a_kid_of_any_kind_leads_to_no_key(kid: object) -> None:
    head = urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "wst+jwt", "kid": kid}).encode()).rstrip(b"=")
    ticket = head.decode() + TICKET[TICKET.index(".") :]
    assert refused(ticket) in (Refusal.UNKNOWN_KEY, Refusal.MALFORMED)


@given(st.text(max_size=80))
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(verify(text, gatekeeper(), NOW), TurnedAway)


@given(st.integers(0, len(TICKET) - 1), st.characters(codec="ascii"))
def test_a_changed_ticket_is_the_same_ticket_or_none(at: int, letter: str) -> None:
    """Spare bits of base64 may change without changing what is signed: then nothing else changes either."""
    verdict = verify(TICKET[:at] + letter + TICKET[at + 1 :], gatekeeper(), NOW)
    assert verdict == CLAIMS or isinstance(verdict, TurnedAway)


def test_a_padded_ticket_has_the_same_name() -> None:
    """PyJWT 2.15.1 takes `=` at the end: a memory of used tickets by their text lets it in twice."""
    verdict = verify(TICKET + "=", gatekeeper(), NOW)
    assert verdict == CLAIMS or verdict == TurnedAway(Refusal.MALFORMED)


def test_each_incarnation_has_a_key_of_its_own() -> None:
    keys = {SECRETS.key_for(handler, epoch).key for handler in (WSH1, WSH2) for epoch in range(3)}
    assert len(keys) == 6
    assert {len(key) for key in keys} == {32}


def test_a_short_secret_is_refused_and_a_good_one_is_never_shown() -> None:
    with pytest.raises(ValueError, match=r"handlers\.secret has 5 bytes; give it at least 32"):
        TicketSecrets("short")
    with pytest.raises(ValueError, match=r"handlers\.previous_secret"):
        TicketSecrets("x" * 32, "short")
    shown = repr(SECRETS) + repr(KEY) + repr(gatekeeper())
    assert "one secret" not in shown
    assert repr(KEY.key) not in shown
    assert HandlerKey("k", b"s" * 32) == HandlerKey("k", b"s" * 32)


def test_the_signature_is_one_hmac_of_the_derived_key() -> None:
    """The derivation of ALLOCATION 2.6, spelled out: handlers in other languages rely on it."""
    import hashlib
    import hmac

    derived = hmac.new(
        b"one secret of the cluster, 32 bytes", f"wst|WSH1|{CLAIMS.epoch}".encode(), hashlib.sha256
    ).digest()
    signed, _, signature = TICKET.rpartition(".")
    wanted = hmac.new(derived, signed.encode(), hashlib.sha256).digest()
    assert urlsafe_b64decode(signature + "==") == wanted
