"""Sessions: somebody who is logged in has an access token for a while, and a refresh token to get another.

The tokens are those of `examples/chat/tokens.py`, with claims that the gateway reads: tier, roles, …
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from examples.chat.service import Clock
from examples.chat.tokens import Claims, Kind, Rejected, issue, read

MOST_SESSIONS = 10_000
"""The oldest is ended for the next."""

ClaimsOf = Callable[[str], Mapping[str, object]]
"""What a user's tokens say beside whose they are."""


@dataclass(slots=True)
class _Session:
    uid: str
    serial: int = 0
    """Of its refresh token: one that was used is good no more."""


class Sessions:
    """Who is logged in. A token's `jti` is its session's name and its number in it."""

    def __init__(self, secret: str, clock: Clock, claims_of: ClaimsOf, access_s: int | None = None) -> None:
        self._secret = secret
        self._clock = clock
        self._claims_of = claims_of
        self._access_s = access_s or Kind.ACCESS.lifetime_s
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, uid: str) -> dict[str, object]:
        """A new session's tokens, as they are answered."""
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.popitem(last=False)
        name = uuid4().hex
        self._sessions[name] = _Session(uid)
        return self._pair(name)

    def renew(self, refresh_token: str) -> tuple[str, dict[str, object]] | None:
        """Whose refresh token this is, with new tokens, if it is good; it is not good a second time."""
        claims = read(self._secret, refresh_token, Kind.REFRESH, self._clock())
        if isinstance(claims, Rejected):
            return None
        name, _, serial = claims.jti.partition(".")
        session = self._sessions.get(name)
        if session is None or str(session.serial) != serial:
            return None
        return session.uid, self._pair(name)

    def reissue(self, access_token: str) -> dict[str, object] | None:
        """New tokens in the session of an access token, after what they say of their user has changed."""
        claims = self.holder(access_token)
        return None if claims is None else self._pair(_session_of(claims))

    def holder(self, access_token: str) -> Claims | None:
        """Whose access token this is, while the session lasts."""
        claims = read(self._secret, access_token, Kind.ACCESS, self._clock())
        if isinstance(claims, Rejected) or _session_of(claims) not in self._sessions:
            return None
        return claims

    def end_all(self, uid: str) -> None:
        """Logs somebody out everywhere."""
        for name in [name for name, session in self._sessions.items() if session.uid == uid]:
            del self._sessions[name]

    def end(self, token: str) -> str | None:
        """Ends the session of a token of either kind. Whose it was, if it was one."""
        for kind in Kind:
            claims = read(self._secret, token, kind, self._clock())
            if isinstance(claims, Claims) and _session_of(claims) in self._sessions:
                del self._sessions[_session_of(claims)]
                return claims.uid
        return None

    def _pair(self, name: str) -> dict[str, object]:
        session, now = self._sessions[name], self._clock()
        session.serial += 1
        jti, more = f"{name}.{session.serial}", self._claims_of(session.uid)
        return {
            "access_token": issue(
                self._secret, session.uid, Kind.ACCESS, jti, now, lifetime_s=self._access_s, more=more
            ),
            "refresh_token": issue(self._secret, session.uid, Kind.REFRESH, jti, now),
            "token_type": "bearer",
            "expires_in": self._access_s,
        }


def _session_of(claims: Claims) -> str:
    return claims.jti.partition(".")[0]
