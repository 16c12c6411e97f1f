"""The text of a token (RFC 7515, 7.1), taken apart.

Rules of this file: one token has one spelling. Decoders pass over padding, over characters that are none of
theirs, and over the last bits of the last one; here all of that is refused, or whoever holds a revoked token
would hold several that are not.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b

from gateway.strict_json import read_json

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class TokenParts:
    """A token whose header can be understood; nothing of it is verified."""

    algorithm: str
    kid: str | None
    signed: bytes
    """What the signature is for: header and payload as they stand in the token."""
    payload: bytes
    signature: bytes


def read_token(token: str, max_bytes: int) -> TokenParts | str:
    """The parts of a token, or what is wrong with it.

    A header that wants to be understood in another way than RFC 7519's is refused: `crit` and `b64` change
    what is signed (RFC 7797). Where it says a key is to be found (`jwk`, `jku`, `x5c`, `x5u`) is not read.
    """
    if len(token) > max_bytes:
        return "too long"
    if not _COMPACT.fullmatch(token):
        return "not a compact token"
    texts = token.split(".")
    try:
        raw_header, payload, signature = map(_decoded, texts)
        header = read_json(raw_header)
    except ValueError as error:
        return f"not readable: {error}"
    if not isinstance(header, dict) or not isinstance(algorithm := header.get("alg"), str):
        return "no algorithm"
    if "crit" in header or "b64" in header:
        return "an extension that is not known here"
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        return "kid is no text"
    return TokenParts(algorithm, kid, f"{texts[0]}.{texts[1]}".encode(), payload, signature)


def digest(text: str) -> bytes:
    """What a token is remembered by: the token itself is kept nowhere."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _decoded(part: str) -> bytes:
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("a part has another spelling")
    return raw
