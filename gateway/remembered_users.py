"""The users of tokens that were found good, so that each token is judged once.

Rules of this file: bounded in number and in size. A token is known by its digest; neither the token nor
anything that its user chose is a key.
"""

from collections import OrderedDict
from collections.abc import Container
from typing import NamedTuple

from gateway.identity import User

MAX_TOKENS = 4096
MAX_BYTES = 8 * 1024 * 1024
"""Of the tokens that are remembered; what is kept of a token, its user's rights and headers, is less."""


class _Remembered(NamedTuple):
    user: User
    size: int
    key: bytes


class RememberedUsers:
    """The least recently used goes first."""

    def __init__(self, most: int = MAX_TOKENS, most_bytes: int = MAX_BYTES) -> None:
        self._users: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._most = most
        self._room = most_bytes

    def get(self, digest: bytes, now: float, leeway_s: float = 0.0) -> User | None:
        """The user of that token, unless it has expired."""
        found = self._users.get(digest)
        if found is None:
            return None
        if now - found.user.expires_at > leeway_s:
            self._forget(digest)
            return None
        self._users.move_to_end(digest)
        return found.user

    def keep(self, digest: bytes, user: User, size: int, key: bytes = b"") -> None:
        """Until it expires, or others need the room. `size` in bytes; `key` is what has verified it."""
        if digest in self._users:
            self._forget(digest)
        self._users[digest] = _Remembered(user, size, key)
        self._room -= size
        while len(self._users) > self._most or self._room < 0:
            self._forget(next(iter(self._users)))

    def forget_all_but(self, keys: Container[bytes]) -> None:
        """Forgets what was verified by any other key."""
        for digest in [d for d, remembered in self._users.items() if remembered.key not in keys]:
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        self._room += self._users.pop(digest).size

    def __len__(self) -> int:
        return len(self._users)
