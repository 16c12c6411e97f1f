"""Token -> user, by keys that are here.

Rules of this file: never raises, whatever a token holds. Nothing that a token says selects an algorithm, and
what it says is read only once its signature is good.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.claims import ClaimSettings, read_claims
from gateway.errors import Reason
from gateway.identity import Era, Rejected, User
from gateway.remembered_users import RememberedUsers
from gateway.revocation import token_id
from gateway.strict_json import read_json
from gateway.token_keys import KeySet, TokenKey
from gateway.token_parts import TokenParts, digest, read_token


class TokenSettings(ClaimSettings, Protocol):
    """What is needed of `IdentitySettings`."""

    @property
    def algorithms(self) -> Sequence[str]: ...
    @property
    def max_token_bytes(self) -> int: ...


class UnknownKey(Rejected):
    """None of the keys has signed it, but there may be newer ones."""


class Verifier:
    """Verifies tokens with `keys`, and remembers the good ones until they expire."""

    def __init__(
        self, settings: TokenSettings, keys: KeySet, *, remembered: RememberedUsers | None = None
    ) -> None:
        self.settings = settings
        self.leeway_s = settings.leeway_s
        self._keys = keys
        self._good = RememberedUsers() if remembered is None else remembered
        self.era = Era()
        """Another one when a key has gone: tokens that were good may be so no more."""

    @property
    def keys(self) -> KeySet:
        return self._keys

    def follow(self, keys: KeySet) -> None:
        """Takes newer keys. Tokens that an older one has verified stay good if it is among them."""
        gone = self._keys.fingerprints - keys.fingerprints
        self._keys = keys
        if gone:
            self._good.forget_all_but(keys.fingerprints)
            self.era.over = True
            self.era = Era()

    def known(self, token: str, now: float) -> User | None:
        """The user of a token that was verified before."""
        return self._good.get(digest(token), now, self.leeway_s)

    def verify(self, token: str, now: float) -> User | Rejected:
        """The user of a token; `now` in Unix seconds."""
        name = digest(token)
        known = self._good.get(name, now, self.leeway_s)
        if known is not None:
            return known
        parts = read_token(token, self.settings.max_token_bytes)
        if isinstance(parts, str):
            return Rejected(Reason.INVALID_TOKEN, parts)
        key = self._signer(parts)
        if isinstance(key, Rejected):
            return key
        judged = self._judge(parts, now)
        if isinstance(judged, User):
            self._good.keep(name, judged, len(token), key.fingerprint)
        return judged

    def _signer(self, parts: TokenParts) -> TokenKey | Rejected:
        """The key that has signed a token."""
        if parts.algorithm not in self.settings.algorithms:
            return Rejected(Reason.INVALID_TOKEN, "another algorithm")
        for key in self._keys.candidates(parts):
            if key.verifies(parts):
                return key
        if self._keys.may_be_outdated(parts):
            return UnknownKey(Reason.INVALID_TOKEN, "no key that is known")
        return Rejected(Reason.INVALID_TOKEN, "the signature is not good")

    def _judge(self, parts: TokenParts, now: float) -> User | Rejected:
        try:
            claims = read_json(parts.payload)
        except ValueError as error:
            return Rejected(Reason.INVALID_TOKEN, f"the claims are not readable: {error}")
        return read_claims(claims, self.settings, now, token_id(claims, parts.signed))

    def __repr__(self) -> str:
        return f"<Verifier: {', '.join(self.settings.algorithms)}, {len(self._good)} tokens remembered>"
