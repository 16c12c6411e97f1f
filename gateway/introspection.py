"""Asking a token's issuer whose it is: the question, and what its answer means.

Rules of this file: pure. The answer is that of RFC 7662, or of any service that answers a good token with 2xx
and another with 4xx. A token has no form here: whoever issues it knows what it means.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from gateway.claims import ClaimSettings, is_refresh_token, is_time, named_user, user_with
from gateway.errors import Reason
from gateway.identity import Rejected, User, usable_user
from gateway.revocation import token_id
from gateway.strict_json import read_json
from gateway.token_parts import digest

MAX_ANSWER_BYTES = 64 * 1024
UNAVAILABLE = Rejected(Reason.IDENTITY_UNAVAILABLE)

_OPAQUE = re.compile(r"[!-~]+")
_NOT_ABOUT_THE_TOKEN = frozenset({405, 408, 421, 425, 429, 431})
"""Of the 4xx: nobody is told that their token is bad because the service could not be asked."""
_NO = frozenset({"error", "fail", "failed", "failure", "invalid", "unauthorized"})


class QuestionSettings(Protocol):
    """What is needed of `IntrospectionSettings`."""

    @property
    def path(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def token_parameter(self) -> str: ...
    @property
    def uid_parameter(self) -> str: ...
    @property
    def cache_s(self) -> float: ...


class Asker(NamedTuple):
    """Whose token it is to be."""

    token: str
    uid: str
    """Empty where the answer names the user."""

    @property
    def digest(self) -> bytes:
        return digest(f"{self.token}\n{self.uid}")


class Question(NamedTuple):
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


def asker(token: str, uids: Sequence[str], settings: QuestionSettings, max_bytes: int) -> Asker | Rejected:
    """Who says to be whom. `uids` is whatever the request says of it."""
    if len(token) > max_bytes or not _OPAQUE.fullmatch(token):
        return Rejected(Reason.INVALID_TOKEN, "no token")
    if not settings.uid_parameter:
        return Asker(token, "")
    if not uids:
        message = "A uid is required, as `uid` header or in the query."
        return Rejected(Reason.MISSING_PARAMETER, "no uid", message)
    if len(set(uids)) > 1:
        return Rejected(Reason.UID_MISMATCH, "two different uids")
    if usable_user(uids[0]) is None:
        return Rejected(Reason.INVALID_TOKEN, "no usable uid")
    return Asker(token, uids[0])


def question(who: Asker, settings: QuestionSettings) -> Question:
    """What the service is asked."""
    asked = {settings.token_parameter: who.token}
    if settings.uid_parameter:
        asked[settings.uid_parameter] = who.uid
    text = urlencode(asked)
    headers = [(b"Accept", b"application/json")]
    if settings.method == "GET":
        mark = "&" if "?" in settings.path else "?"
        return Question("GET", f"{settings.path}{mark}{text}", headers, b"")
    body = text.encode()
    headers += [
        (b"Content-Type", b"application/x-www-form-urlencoded"),
        (b"Content-Length", b"%d" % len(body)),
    ]
    return Question(settings.method, settings.path, headers, body)


def understood(
    status: int,
    body: bytes,
    who: Asker,
    settings: QuestionSettings,
    claims: ClaimSettings,
    now: float,
) -> User | Rejected:
    """What the service's answer means. Good for `cache_s` from `now` on, or less if the token ends before."""
    if 400 <= status < 500 and status not in _NOT_ABOUT_THE_TOKEN:
        return Rejected(Reason.INVALID_TOKEN, f"the service says {status}")
    if not 200 <= status < 300:
        return UNAVAILABLE
    said = _object(body)
    if said is None:
        return UNAVAILABLE
    if said.get("active", True) is not True or str(said.get("status", "")).lower() in _NO:
        return Rejected(Reason.INVALID_TOKEN, "the service says no")
    if is_refresh_token(said):
        return Rejected(Reason.INVALID_TOKEN, "a refresh token")
    if who.uid and not _may_be(said, who.uid, claims.user_claim):
        return Rejected(Reason.UID_MISMATCH, "the service names another user")
    name = who.uid or named_user(said, claims)
    if name is None:
        return Rejected(Reason.INVALID_TOKEN, "the service names no usable user")
    ends = said["exp"] if is_time(said.get("exp")) else None
    if ends is not None and ends <= now:
        return Rejected(Reason.EXPIRED_TOKEN, "expired")
    good_until = now + settings.cache_s if ends is None else min(now + settings.cache_s, ends)
    return user_with(name, said, claims, good_until, revocation_id(who.token))


def revocation_id(token: str) -> str:
    """What the revocation of a token is known by that only its issuer understands."""
    return token_id(None, token.encode())


def _object(body: bytes) -> Mapping[str, Any] | None:
    """What a service says besides its status, which may be nothing; `None` if it can't be read."""
    try:
        said = read_json(body)
    except ValueError:
        # Text says no more than the status does. What was to be an object may have said no.
        return None if b"{" in body else {}
    if said is False:
        return {"active": False}
    return said if isinstance(said, dict) else {}


def _may_be(said: Mapping[str, Any], uid: str, user_claim: Sequence[str]) -> bool:
    """A service that does not look at the uid it is told would let everybody be anybody."""
    named = next((said[claim] for claim in user_claim if said.get(claim) is not None), uid)
    return str(named) == uid
