"""The signed ticket a client shows to its handler: a JWT bound to one incarnation of one process.

The key is derived per incarnation, `HMAC-SHA256(cluster secret, "wst|" + handler + "|" + epoch)`. Any
gateway can derive it. A stolen one forges tickets for its own handler only, but who has the internal
key, which all handlers share, can say hello in the name of each and is told its key. A restart voids
every older ticket, so a memory of used `jti`s in that process alone makes a ticket single-use, with
no store on the way of a connection.

Signing takes the HMAC directly over a prepared beginning, which costs a quarter of `jwt.encode`; verification
is PyJWT's, apart from the times: those are compared here, with the `now` that the caller passes.
"""

import hmac
import json
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import jwt
import orjson

from handlers.closing import Refusal, TurnedAway
from handlers.model import Epoch, HandlerId, Jti, Uid

ALGORITHM = "HS256"
TYPE = "wst+jwt"
LEEWAY_S = 2.0
"""Difference between the clocks of gateway and handler that is overlooked."""
LONGEST = 4096
"""Characters; ours have under 600, and a longer text costs a hash of all of it."""
SHORTEST_SECRET = 32
"""Bytes: as many as the hash has."""

KEPT_SIGNERS = 4096
"""Kept at hand: as many incarnations get tickets at a time, with room to spare."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class HandlerKey:
    kid: str
    key: bytes = field(repr=False)


class TicketSecrets:
    """The cluster's secret, and the one before it, whose tickets stay good while they last.

    Raises `ValueError` for a secret under 32 bytes.
    """

    def __init__(self, current: str, previous: str | None = None, *, issuer: str = "quaymaster") -> None:
        self.issuer = issuer
        self._current = _secret("handlers.secret", current)
        self._previous = None if previous is None else _secret("handlers.previous_secret", previous)
        self._signers: dict[tuple[HandlerId, Epoch], Signer] = {}

    def key_for(self, handler: HandlerId, epoch: Epoch) -> HandlerKey:
        """What tickets for that incarnation are signed with."""
        return _derive(self._current, handler, epoch)

    def signer_for(self, handler: HandlerId, epoch: Epoch) -> "Signer":
        """Who signs the tickets for that incarnation."""
        signer = self._signers.get((handler, epoch))
        if signer is None:
            if len(self._signers) >= KEPT_SIGNERS:
                self._signers.clear()
            signer = Signer(self.key_for(handler, epoch), self.issuer, handler, epoch)
            self._signers[handler, epoch] = signer
        return signer

    def previous_for(self, handler: HandlerId, epoch: Epoch) -> tuple[HandlerKey, ...]:
        """What older tickets may still be signed with."""
        return () if self._previous is None else (_derive(self._previous, handler, epoch),)

    def queue_keys(self) -> tuple[bytes, ...]:
        """What appointments are signed with, and what older ones may be."""
        secrets = (self._current,) if self._previous is None else (self._current, self._previous)
        return tuple(hmac.digest(secret.key, b"queue", "sha256") for secret in secrets)

    def __repr__(self) -> str:
        return f"<TicketSecrets: kid {self._current.kid}, issuer {self.issuer}>"


def _secret(name: str, text: str) -> HandlerKey:
    """A cluster secret. Its kid follows from it, so replicas agree on the name without a setting."""
    value = text.encode()
    if len(value) < SHORTEST_SECRET:
        raise ValueError(
            f"{name} has {len(value)} bytes; give it at least {SHORTEST_SECRET} random ones,"
            " for example from `openssl rand -hex 32`"
        )
    return HandlerKey(hmac.digest(value, b"kid", "sha256")[:4].hex(), value)


def _derive(secret: HandlerKey, handler: HandlerId, epoch: Epoch) -> HandlerKey:
    return HandlerKey(secret.kid, hmac.digest(secret.key, f"wst|{handler}|{epoch}".encode(), "sha256"))


class Purpose(StrEnum):
    CONNECT = "connect"
    MIGRATE = "migrate"


CONNECT = Purpose.CONNECT
_PURPOSES = [purpose.value for purpose in Purpose]


class TicketClaims(NamedTuple):
    """What a ticket says. Times are unix seconds."""

    issuer: str
    handler: HandlerId
    epoch: Epoch
    uid: Uid
    jti: Jti
    issued_at: int
    expires_at: int
    guaranteed_until: float
    session_id: str
    """Stays the same when a session moves to another handler; each ticket has a `jti` of its own."""
    purpose: Purpose = Purpose.CONNECT
    degraded: bool = False
    """Issued without a reservation: whether there is room is for the handler to find out."""


def audience(handler: HandlerId) -> str:
    return f"wsh:{handler}"


class Signer:
    """Signs the tickets of one incarnation. What they all begin with is encoded and hashed only once."""

    def __init__(self, key: HandlerKey, issuer: str, handler: HandlerId, epoch: Epoch) -> None:
        header = orjson.dumps({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid})
        shared = _json({"iss": issuer, "aud": audience(handler), "hep": epoch})[:-1] + b","
        # Blanks, which JSON may have there: base64 takes three bytes at a time, and the rest comes later.
        shared += b" " * (-len(shared) % 3)
        self._beginning = _base64url(header) + b"." + _base64url(shared)
        self._mac = hmac.new(key.key, self._beginning, "sha256")

    def sign(
        self,
        uid: Uid,
        jti: Jti,
        issued_at: int,
        expires_at: int,
        guaranteed_until: float,
        session_id: str,
        purpose: Purpose = CONNECT,
        degraded: bool = False,
    ) -> str:
        """The ticket that says this (see `TicketClaims`), as it goes to the client."""
        rest = _json(
            {
                "sub": uid,
                "jti": jti,
                "iat": issued_at,
                "nbf": issued_at,
                "exp": expires_at,
                "gua": guaranteed_until,
                "sid": session_id,
                "pur": purpose,
                "deg": 1 if degraded else 0,
            }
        )
        signed = _base64url(rest[1:])
        mac = self._mac.copy()
        mac.update(signed)
        return (self._beginning + signed + b"." + _base64url(mac.digest())).decode()


def sign(claims: TicketClaims, key: HandlerKey) -> str:
    """The ticket that says just that, for whomever the key is."""
    return Signer(key, claims.issuer, claims.handler, claims.epoch).sign(*claims[3:])


def _json(told: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(told)
    except TypeError:
        # Half a surrogate pair in a user id: JSON can say it, UTF-8 can't, and orjson speaks UTF-8.
        return json.dumps(told).encode()


def _base64url(data: bytes) -> bytes:
    # What `urlsafe_b64encode` does, in a third of the time.
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """What one incarnation of a handler needs to judge tickets."""

    handler: HandlerId
    epoch: Epoch
    issuer: str
    keys: Mapping[str, bytes] = field(repr=False)
    """By kid."""


def verify(ticket: str, gatekeeper: Gatekeeper, now: float) -> TicketClaims | TurnedAway:
    """Whether this is a ticket for this incarnation, at this time. Not whether it was used before."""
    if len(ticket) > LONGEST or not ticket.isascii():
        return TurnedAway(Refusal.MALFORMED)
    try:
        claims = _signed_claims(ticket, gatekeeper)
    except (jwt.PyJWTError, TypeError, ValueError):
        return TurnedAway(Refusal.MALFORMED)
    if isinstance(claims, Refusal):
        return TurnedAway(claims)
    if now >= claims.expires_at + LEEWAY_S:
        return TurnedAway(Refusal.EXPIRED)
    if now < claims.issued_at - LEEWAY_S:
        return TurnedAway(Refusal.NOT_YET)
    return claims


def _signed_claims(ticket: str, gatekeeper: Gatekeeper) -> TicketClaims | Refusal:
    """What was signed for this incarnation; raises what PyJWT raises for what can't be read."""
    header = jwt.get_unverified_header(ticket)
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
        return Refusal.MALFORMED
    key = gatekeeper.keys.get(header.get("kid", ""))
    if key is None:
        return Refusal.UNKNOWN_KEY
    try:
        told = _decode(ticket, key, gatekeeper)
    except jwt.InvalidSignatureError:
        return _why_not_ours(ticket, gatekeeper)
    except jwt.InvalidAudienceError:
        return Refusal.WRONG_HANDLER
    claims = _claims(told, gatekeeper)
    if claims is None:
        return Refusal.MALFORMED
    return claims if claims.epoch == gatekeeper.epoch else Refusal.WRONG_EPOCH


def _decode(ticket: str, key: bytes, gatekeeper: Gatekeeper) -> dict[str, Any]:
    """The signed claims; raises what PyJWT raises."""
    told: dict[str, Any] = jwt.decode(
        ticket,
        key,
        algorithms=[ALGORITHM],
        audience=audience(gatekeeper.handler),
        issuer=gatekeeper.issuer,
        options={
            "require": ["iss", "aud", "hep", "sub", "jti", "iat", "nbf", "exp", "gua", "sid", "pur"],
            "strict_aud": True,
            "enforce_minimum_key_length": True,
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )
    return told


def _why_not_ours(ticket: str, gatekeeper: Gatekeeper) -> Refusal:
    """What to tell the bearer of a ticket that our key did not sign. Nothing is granted on this."""
    told = jwt.decode(ticket, options={"verify_signature": False})
    if told.get("aud") != audience(gatekeeper.handler):
        return Refusal.WRONG_HANDLER
    return Refusal.WRONG_EPOCH if told.get("hep") != gatekeeper.epoch else Refusal.FORGED


def _claims(told: dict[str, Any], gatekeeper: Gatekeeper) -> TicketClaims | None:
    """The claims by type; `None` if one has the wrong one."""
    texts, numbers = ("sub", "jti", "sid"), ("hep", "iat", "nbf", "exp")
    if not all(isinstance(told[name], str) for name in texts):
        return None
    if not all(type(told[name]) is int for name in numbers) or type(told["gua"]) not in (int, float):
        return None
    if told["pur"] not in _PURPOSES or told["nbf"] != told["iat"]:
        return None
    return TicketClaims(
        issuer=gatekeeper.issuer,
        handler=gatekeeper.handler,
        epoch=told["hep"],
        uid=Uid(told["sub"]),
        jti=Jti(told["jti"]),
        issued_at=told["iat"],
        expires_at=told["exp"],
        guaranteed_until=told["gua"],
        session_id=told["sid"],
        purpose=Purpose(told["pur"]),
        degraded=told.get("deg") == 1,
    )
