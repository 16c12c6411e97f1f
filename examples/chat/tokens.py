"""Access and refresh tokens: JWTs signed with HS256.

Rules of this file: no clock, no randomness; `now` is unix seconds and `jti` comes in.

Refresh tokens are signed with a key derived from the secret. The gateway and the services that
verify access tokens hold only the secret's own signature to be good, so a refresh token is refused
everywhere but at `/refresh`, even by a verifier that never looks at `typ`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import jwt

ALGORITHM = "HS256"
SHORTEST_SECRET = 32
"""Bytes: RFC 7518, 3.2 asks for a key as long as the hash."""
LONGEST_TOKEN = 4096
"""Characters. Ours have about 250; more isn't worth decoding."""


class Kind(StrEnum):
    """The `typ` claim, with the lifetime of each kind in seconds."""

    ACCESS = "access"
    REFRESH = "refresh"

    @property
    def lifetime_s(self) -> int:
        return 30 * 60 if self is Kind.ACCESS else 14 * 24 * 3600


class Rejected(StrEnum):
    """Why a token is not accepted."""

    EXPIRED = "expired"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Claims:
    uid: str
    jti: str
    expires_at: int


def check_secret(secret: str) -> str:
    """The secret itself. Raises `ValueError` when it is too short to sign with."""
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ValueError(
            f"JWT_SECRET must have at least {SHORTEST_SECRET} bytes, it has {len(secret.encode())}"
        )
    return secret


def issue(
    secret: str,
    uid: str,
    kind: Kind,
    jti: str,
    now: float,
    *,
    lifetime_s: int | None = None,
    more: Mapping[str, object] | None = None,
) -> str:
    """A token for `uid` that starts now, and says `more` where there is more to say."""
    issued_at = int(now)
    claims = {
        **(more or {}),
        "sub": uid,
        "iat": issued_at,
        "exp": issued_at + (lifetime_s or kind.lifetime_s),
        "jti": jti,
        "typ": kind.value,
    }
    return jwt.encode(claims, _key(secret, kind), algorithm=ALGORITHM)


def read(secret: str, token: str, kind: Kind, now: float) -> Claims | Rejected:
    """Whose token this is, if it is one of ours, of that kind, and not over."""
    if (
        len(token) > LONGEST_TOKEN or not token.isascii()
    ):  # PyJWT can't encode what a header's odd bytes become
        return Rejected.INVALID
    try:
        claims = jwt.decode(
            token,
            _key(secret, kind),
            algorithms=[ALGORITHM],
            # The times are compared below, with the caller's clock.
            options={
                "require": ["sub", "exp", "iat", "jti", "typ"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.InvalidTokenError:
        return Rejected.INVALID
    expires_at = claims["exp"]
    if claims["typ"] != kind.value or not isinstance(expires_at, int) or not claims["sub"]:
        return Rejected.INVALID
    return Rejected.EXPIRED if expires_at <= now else Claims(claims["sub"], claims["jti"], expires_at)


def _key(secret: str, kind: Kind) -> bytes:
    key = secret.encode()
    return key if kind is Kind.ACCESS else hmac.digest(key, b"chat|refresh", hashlib.sha256)
