"""What a verified token says: whether it is for us, and for now, and who its user is.

Rules of this file: pure, `now` is an argument. The signature was judged before (verifier.py), or the issuer
was asked (introspection.py). What is read for rights (roles, scopes, tier) and is not as it should be, gives
none.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from balancer.headers import encode_member, encode_user
from gateway.errors import Reason
from gateway.identity import Rejected, User, usable_user

FAR_FUTURE = 253_402_300_799.0
"""9999-12-31T23:59:59Z: a later expiry is no date but an attempt."""

_TIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KINDS = ("type", "token_type", "typ", "token_use")
"""Where issuers say what a token is for; there is no one claim for that."""
_REFRESH = frozenset({"refresh", "refresh_token", "offline"})
_REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti")


class ClaimSettings(Protocol):
    """What is needed of `IdentitySettings`."""

    @property
    def issuer(self) -> str | None: ...
    @property
    def audience(self) -> str | None: ...
    @property
    def leeway_s(self) -> float: ...
    @property
    def user_claim(self) -> tuple[str, ...]: ...
    @property
    def roles_claim(self) -> tuple[str, ...]: ...
    @property
    def scopes_claim(self) -> tuple[str, ...]: ...
    @property
    def tier_claim(self) -> str: ...
    @property
    def claim_headers(self) -> Mapping[str, str]: ...


def read_claims(claims: object, settings: ClaimSettings, now: float, token_id: str) -> User | Rejected:
    """The user of a token with these claims; `now` in Unix seconds."""
    if not isinstance(claims, dict):
        return Rejected(Reason.INVALID_TOKEN, "the claims are no object")
    problem = _odd_claim(claims, settings) or _not_for_us(claims, settings)
    if problem is not None:
        return Rejected(Reason.INVALID_TOKEN, problem)
    if (untimely := _untimely(claims, now, settings.leeway_s)) is not None:
        return untimely
    name = named_user(claims, settings)
    if name is None:
        return Rejected(Reason.INVALID_TOKEN, "no usable user")
    return user_with(name, claims, settings, float(claims["exp"]), token_id)


def named_user(claims: Mapping[str, Any], settings: ClaimSettings) -> str | None:
    """The user, by the first of `user_claim` that there is: a broken one is not passed over."""
    return usable_user(next((claims[claim] for claim in settings.user_claim if claim in claims), None))


def user_with(
    name: str, claims: Mapping[str, Any], settings: ClaimSettings, expires_at: float, token_id: str
) -> User:
    """The user of that name, with everything that is read from the claims."""
    tier = claim_of(claims, settings.tier_claim)
    return User(
        id=name,
        tier=tier if isinstance(tier, str) and _TIER.fullmatch(tier) else None,
        expires_at=expires_at,
        roles=frozenset(_texts(_first_of(claims, settings.roles_claim), None)),
        scopes=frozenset(_texts(_first_of(claims, settings.scopes_claim), " ")),
        token_id=token_id,
        headers=tuple(_headers(claims, settings.claim_headers)),
        ends_at=float(claims["exp"]) if is_time(claims.get("exp")) else None,
    )


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name; where there is none of that name, `a.b` is the `b` in the object `a`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def is_refresh_token(claims: Mapping[str, Any]) -> bool:
    """Whether its issuer alone takes it, for another token. It often has the same key, and lives longer."""
    said = (claims.get(claim) for claim in _KINDS)
    return any(isinstance(kind, str) and kind.lower() in _REFRESH for kind in said)


def is_time(value: object) -> bool:
    """Whether it is Unix seconds (RFC 7519, 2: NumericDate)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and 0 <= value <= FAR_FUTURE
    except OverflowError:
        return False


def _odd_claim(claims: Mapping[str, Any], settings: ClaimSettings) -> str | None:
    """What of the claims somebody else could read otherwise."""
    for claim in ("iss", "sub", "jti", *settings.user_claim):
        if not isinstance(claims.get(claim, ""), str):
            return f"{claim} is no text"
    # Go's decoder takes `Sub` for `sub`, and with a long s (U+017F) too, and the last one counts.
    known = {_look(name) for name in (*_REGISTERED, *settings.user_claim) if name in claims}
    if sum(_look(name) in known for name in claims) > len(known):
        return "two claims differ in case or look only"
    return None


def _look(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _not_for_us(claims: Mapping[str, Any], settings: ClaimSettings) -> str | None:
    """RFC 7519, 4.1.1 and 4.1.3: a token that says for whom it is, is for nobody else."""
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        return "another issuer"
    if is_refresh_token(claims):
        return "a refresh token"
    audience = claims.get("aud", [])
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        return "aud is neither text nor a list of it"
    if settings.audience is None:
        return "for an audience, and none is set" if "aud" in claims else None
    return None if settings.audience in listed else "another audience"


def _untimely(claims: Mapping[str, Any], now: float, leeway_s: float) -> Rejected | None:
    """The times a token says, with the leeway both ways (RFC 7519, 4.1.4 to 4.1.6)."""
    if "exp" not in claims:
        return Rejected(Reason.INVALID_TOKEN, "no exp")
    for claim in ("exp", "nbf", "iat"):
        if claim in claims and not is_time(claims[claim]):
            return Rejected(Reason.INVALID_TOKEN, f"{claim} is no time")
    if max(claims.get("nbf", now), claims.get("iat", now)) - now > leeway_s:
        return Rejected(Reason.INVALID_TOKEN, "not valid yet")
    if now - claims["exp"] > leeway_s:
        return Rejected(Reason.EXPIRED_TOKEN, "expired")
    return None


def _first_of(claims: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((found for name in names if (found := claim_of(claims, name)) is not None), None)


def _texts(value: object, separator: str | None) -> Iterator[str]:
    """The texts of a list; of one text, its parts."""
    if isinstance(value, str):
        value = value.split(separator) if separator else [value]
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, str) and one)


def _headers(claims: Mapping[str, Any], wanted: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """Text and numbers as they are, lists joined by commas; nothing for what else there is in JSON."""
    for header, claim in wanted.items():
        value = claim_of(claims, claim)
        if isinstance(value, list):
            members = [text for one in value if (text := _scalar(one)) is not None]
            if members:
                yield header.encode(), b",".join(map(encode_member, members))
        elif (text := _scalar(value)) is not None:
            yield header.encode(), encode_user(text)


def _scalar(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return value if isinstance(value, str) and value else None
