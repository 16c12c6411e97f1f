"""Token -> user: which token a request brings, whether it is good, and whose it is.

Rules of this file: PyJWT judges the signature with a fixed list of algorithms; times are judged here,
because `now` is an argument. Nothing that a token says selects a key or an algorithm. What a user is
called goes into headers, so it is printable ASCII or refused.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from multidict import istr

from gateway.errors import GatewayError, Reason, gateway_error

MAX_TOKEN = 8 * 1024
MAX_CACHED_TOKEN = 2 * 1024
CACHED_TOKENS = 4096
"""At most 4096 tokens of 2 KiB: 8 MiB of tokens, and claims of about the same size."""

FAR_FUTURE = 253_402_300_799.0
"""9999-12-31T23:59:59Z: a later expiry is no date but an attempt."""

_AUTHORIZATION, _TOKEN = istr("Authorization"), istr("token")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""Three parts of base64url. Padding is refused: PyJWT takes `token` and `token=` for the same."""

_USER = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_TIER = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Values(Protocol):
    """Case-insensitive headers with repeats: `multidict`'s interface, of which this much is used."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


class TokenSettings(Protocol):
    """What is needed of `IdentitySettings`."""

    @property
    def algorithms(self) -> tuple[str, ...]: ...
    @property
    def issuer(self) -> str | None: ...
    @property
    def audience(self) -> str | None: ...
    @property
    def leeway_s(self) -> float: ...
    @property
    def user_claim(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class User:
    """Whose token it is."""

    id: str
    tier: str | None
    expires_at: float
    """Unix seconds, as the token says: the leeway comes on top."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    token_id: str = ""
    """What a revocation is known by: of its `jti`, else of its digest."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Claims as instances get them (identity.claim_headers)."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """No user: the client gets the reason, the log the detail."""

    reason: Reason
    detail: str = ""

    def error(self) -> GatewayError:
        return gateway_error(self.reason)


def key_problem(algorithms: Sequence[str], pem: str) -> str | None:
    """What is wrong with a public key, in words that follow its key path; `None` if it is good."""
    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnicodeError):
        return "is no public key in PEM form (-----BEGIN PUBLIC KEY-----)"
    fits = {
        "RS256": isinstance(key, RSAPublicKey),
        "ES256": isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1),
        "EdDSA": isinstance(key, Ed25519PublicKey),
    }
    unfit = [name for name in algorithms if not fits.get(name, False)]
    if unfit:
        return f"is no key for {', '.join(unfit)}: RS256 needs RSA, ES256 a P-256 and EdDSA an Ed25519 key"
    if isinstance(key, RSAPublicKey) and key.key_size < 2048:
        return "is an RSA key of less than 2048 bits"
    return None


def credentials(headers: _Values) -> str | Rejected | None:
    """The token of `Authorization: Bearer` or of the `token` header, `None` if there is none.

    Two that differ, or two headers of a kind, are refused: an instance might read the other one.
    """
    authorizations, tokens = headers.getall(_AUTHORIZATION, ()), headers.getall(_TOKEN, ())
    if not authorizations and not tokens:
        return None
    if len(authorizations) > 1 or len(tokens) > 1:
        return Rejected(Reason.BAD_REQUEST, "repeated credentials")
    found = list(tokens)
    for value in authorizations:
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "bearer":
            found.append(rest.strip(" "))
    if len(set(found)) > 1:
        return Rejected(Reason.BAD_REQUEST, "two different tokens")
    return found[0] if found else None


def uid_problem(user: User, claimed: Sequence[str], query: str) -> Rejected | None:
    """Whoever a request says it is from must be the token's user.

    `claimed` are the values of `uid` headers; `query`, where there may be more, is raw, with or without
    its question mark.
    """
    if "uid" in query or "%" in query:
        said = [value for key, value in parse_qsl(query.removeprefix("?"), True) if key == "uid"]
        claimed = [*claimed, *said]
    if claimed and any(uid != user.id for uid in claimed):
        return Rejected(Reason.UID_MISMATCH, "uid is not the token's user")
    return None


class Verifier:
    """Verifies tokens with one key, and remembers the good ones until they expire.

    `key` is the secret of HS256 or the PEM of a public key; it was checked by the settings. Raises
    `ValueError` for a public key that does not fit the algorithms.
    """

    def __init__(self, settings: TokenSettings, key: str | bytes, *, cached: int = CACHED_TOKENS) -> None:
        self._settings = settings
        self._algorithms = list(settings.algorithms)
        self._key: Any = key
        if "HS256" not in self._algorithms:
            pem = key.decode() if isinstance(key, bytes) else key
            if (problem := key_problem(self._algorithms, pem)) is not None:
                raise ValueError(f"the public key {problem}")
            self._key = load_pem_public_key(pem.strip().encode())
        self._jwt = jwt.PyJWT({"enforce_minimum_key_length": True})
        self._good: OrderedDict[str, User] = OrderedDict()
        self._room = cached

    def verify(self, token: str, now: float) -> User | Rejected:
        """The user of a token; `now` in Unix seconds. Never raises, whatever the token holds."""
        known = self._good.get(token)
        if known is not None:
            if now - known.expires_at <= self._settings.leeway_s:
                self._good.move_to_end(token)
                return known
            del self._good[token]
        judged = self._judge(token, now)
        if isinstance(judged, User) and len(token) <= MAX_CACHED_TOKEN:
            self._good[token] = judged
            if len(self._good) > self._room:
                self._good.popitem(last=False)
        return judged

    def _judge(self, token: str, now: float) -> User | Rejected:
        if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
            return Rejected(Reason.INVALID_TOKEN, "not a compact token")
        claims = self._claims(token)
        if isinstance(claims, str):
            return Rejected(Reason.INVALID_TOKEN, claims)
        if (refused := self._untimely(claims, now)) is not None:
            return refused
        name = next((claims[claim] for claim in self._settings.user_claim if claim in claims), None)
        if not isinstance(name, str) or not _USER.fullmatch(name):
            return Rejected(Reason.INVALID_TOKEN, "no usable user")
        tier = claims.get("tier")
        known_tier = tier if isinstance(tier, str) and _TIER.fullmatch(tier) else None
        return User(name, known_tier, float(claims["exp"]), claims)

    def _claims(self, token: str) -> dict[str, Any] | str:
        """The claims of a token that is signed as it must be, or what is wrong with it."""
        try:
            return self._jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                options={
                    "require": ["exp"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
            return str(error) or type(error).__name__

    def _untimely(self, claims: Mapping[str, Any], now: float) -> Rejected | None:
        """The times a token says, with the leeway both ways (RFC 7519, 4.1.4 to 4.1.6)."""
        for claim in ("exp", "nbf", "iat"):
            if claim in claims and not _is_time(claims[claim]):
                return Rejected(Reason.INVALID_TOKEN, f"{claim} is no time")
        leeway = self._settings.leeway_s
        if max(claims.get("nbf", now), claims.get("iat", now)) - now > leeway:
            return Rejected(Reason.INVALID_TOKEN, "not valid yet")
        if now - claims["exp"] > leeway:
            return Rejected(Reason.EXPIRED_TOKEN, "expired")
        return None

    def __repr__(self) -> str:
        return f"<Verifier: {', '.join(self._algorithms)}, {len(self._good)} tokens remembered>"


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and 0 <= value <= FAR_FUTURE
    except OverflowError:
        return False
