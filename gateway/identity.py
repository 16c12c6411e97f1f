"""Who is asking: what a request brings to say so, and what is known once that is verified.

Rules of this file: nothing here verifies anything; verifier.py and introspection.py do. What a user is called
goes into headers, so it is printable ASCII or refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl

from multidict import istr

from gateway.errors import GatewayError, Reason, gateway_error

_AUTHORIZATION, _TOKEN = istr("Authorization"), istr("token")
_USER = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")


class _Values(Protocol):
    """Case-insensitive headers with repeats: `multidict`'s interface, of which this much is used."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class User:
    """Whose token it is."""

    id: str
    tier: str | None
    expires_at: float
    """Unix seconds, as the token says: the leeway comes on top. Of an issuer's word: until when it counts."""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    token_id: str = ""
    """What a revocation is known by: of its `jti`, else of its digest."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Claims as instances get them (identity.claim_headers). No other claim is kept."""
    ends_at: float | None = None
    """Unix seconds: when the token is good no more anyway, if that is known."""


class Era:
    """For how long what was said of tokens is true: it ends with the keys, or the settings, that said it."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """No user: the client gets the reason, the log the detail."""

    reason: Reason
    detail: str = ""
    message: str | None = None
    """For the client instead of the reason's own text. Never raw input."""

    def error(self) -> GatewayError:
        return gateway_error(self.reason, message=self.message)


class Required(NamedTuple):
    """What a route's users must have besides a good token."""

    roles: frozenset[str]
    """One of these, if there are any."""
    scopes: frozenset[str]
    """All of these."""

    def lacking(self, user: User) -> Reason | None:
        """Why the user may not; `None` if nothing is lacking."""
        if self.roles and self.roles.isdisjoint(user.roles):
            return Reason.MISSING_ROLE
        return None if self.scopes <= user.scopes else Reason.MISSING_SCOPE


def required(roles: Sequence[str], scopes: Sequence[str]) -> Required | None:
    """What a route requires; `None` for nothing."""
    return Required(frozenset(roles), frozenset(scopes)) if roles or scopes else None


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


def claimed_uids(headers: Sequence[str], query: str) -> Sequence[str]:
    """Whoever a request says it is from: the values of its `uid` headers and of `uid` in its query.

    `query` is raw, with or without its question mark. Some instances part it at semicolons, too.
    """
    if "uid" not in query and "%" not in query:
        return headers
    parts = parse_qsl(query.removeprefix("?").replace(";", "&"), keep_blank_values=True)
    return [*headers, *(value for key, value in parts if key == "uid")]


def uid_problem(user: User, claimed: Sequence[str]) -> Rejected | None:
    """What a request says of its user must be the token's user."""
    if claimed and any(uid != user.id for uid in claimed):
        return Rejected(Reason.UID_MISMATCH, "uid is not the token's user")
    return None


def usable_user(name: object) -> str | None:
    """What a user is called, if that can stand in a header, a log and a key of a store."""
    return name if isinstance(name, str) and _USER.fullmatch(name) else None
