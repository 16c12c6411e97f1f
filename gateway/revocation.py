"""Tokens that are no longer good although they have not expired.

Rules of this file: pure. A token is known by what can't be changed without its key: by its `jti`, else by the
text that is signed. Not by its signature: of ES256 there are two for each text.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from gateway.claims import FAR_FUTURE
from gateway.token_parts import digest

JTI, TEXT = "j:", "t:"


def token_id(claims: object, signed: bytes) -> str:
    """What the revocation of a token with these claims is known by."""
    jti = claims.get("jti") if isinstance(claims, Mapping) else None
    return jti_id(jti) if isinstance(jti, str) and jti else TEXT + digest(signed.decode()).hex()


def jti_id(jti: str) -> str:
    return JTI + digest(jti).hex()


class RevokedTokens:
    """Bounded: those that expire first are forgotten first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._until: dict[str, float] = {}
        self.holds: Callable[[str], bool] = self._until.__contains__
        """Asked for each request, so without a call of Python's in between."""
        self._order: list[tuple[float, str]] = []

    def add(self, token_id: str, expires_at: float, now: float) -> None:
        """Revoked until then, which is when it expires anyway. Times in Unix seconds."""
        if expires_at > self._until.get(token_id, now):
            self._until[token_id] = expires_at
            heapq.heappush(self._order, (expires_at, token_id))
        self.tidy(now)

    def tidy(self, now: float) -> None:
        """Forgets what has expired, and what there is no room for."""
        while self._order and (self._order[0][0] <= now or len(self._until) > self.most):
            expires_at, token_id = heapq.heappop(self._order)
            # One that was revoked twice stands here twice, and the later expiry counts.
            if self._until.get(token_id) == expires_at:
                del self._until[token_id]
        if len(self._order) > 2 * len(self._until) + 64:
            self._order = [(expires_at, token_id) for token_id, expires_at in self._until.items()]
            heapq.heapify(self._order)

    def discard(self, tokens: Iterable[tuple[str, float]]) -> None:
        """Forgets these, unless a later expiry has been added."""
        for token_id, expires_at in tokens:
            if self._until.get(token_id) == expires_at:
                del self._until[token_id]

    def items(self) -> Iterator[tuple[str, float]]:
        yield from self._until.items()

    def __len__(self) -> int:
        return len(self._until)


class RevokeMessage(BaseModel):
    """What an operator says of a token that is to be revoked: the token, or its `jti` and when it expires."""

    token: Annotated[str | None, Field(min_length=1, max_length=65_536)] = None
    jti: Annotated[str | None, Field(min_length=1, max_length=1024)] = None
    expires_at: Annotated[float | None, Field(gt=0, le=FAR_FUTURE)] = None
    """Unix seconds."""

    @model_validator(mode="before")
    @classmethod
    def _one_of_them(cls, message: Any) -> Any:
        if isinstance(message, dict) and (message.get("token") is None) == (message.get("jti") is None):
            raise ValueError("give the token, or its jti")
        if isinstance(message, dict) and message.get("jti") is not None and message.get("expires_at") is None:
            raise ValueError("a jti needs expires_at: the Unix second when its token expires")
        return message
