"""The appointment that a client brings along when it comes back, signed (ALLOCATION 2.7).

URL-safe base64 of the slot (a double, in the store's seconds) and half an HMAC-SHA256 over pool, user and
slot: 32 characters. It is bound to its user, so it can't be sold, and to its pool. That it works once only
is the store's business. One that does not verify is no appointment, and nothing worse: its bearer
stands in the queue like everybody.
"""

import hmac
import math
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

LENGTH = 32
_SLOT = struct.Struct(">d")
_MAC_BYTES = 16


class QueueTokens:
    """Of one pool. `keys`: the one to sign with, then older ones that are still good."""

    def __init__(self, pool: str, keys: Sequence[bytes]) -> None:
        self._pool = pool.encode()
        self._keys = keys

    def sign(self, uid: str, slot: float) -> str:
        told = _SLOT.pack(slot)
        return urlsafe_b64encode(told + self._mac(self._keys[0], uid, told)).decode()

    def slot(self, uid: str, token: str) -> float | None:
        """The appointment of that user, `None` if this is none of theirs."""
        if len(token) != LENGTH or not token.isascii():
            return None
        try:
            raw = urlsafe_b64decode(token)
        except ValueError:
            return None
        told, mac = raw[: _SLOT.size], raw[_SLOT.size :]
        if not any(hmac.compare_digest(mac, self._mac(key, uid, told)) for key in self._keys):
            return None
        (slot,) = _SLOT.unpack(told)
        return slot if math.isfinite(slot) else None

    def _mac(self, key: bytes, uid: str, slot: bytes) -> bytes:
        # Each with its length before it, so that no two triples spell the same.
        user = uid.encode(errors="surrogatepass")
        parts = (self._pool, user, slot)
        spelt = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(key, spelt, "sha256")[:_MAC_BYTES]
