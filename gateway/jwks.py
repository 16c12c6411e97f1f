"""The key set that an issuer publishes (RFC 7517), read.

Rules of this file: a key that can't be used here is passed over, for the issuer may have others for others.
Only public parts are read. A set without any usable key is refused whole, so that the last good one stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.strict_json import read_json
from gateway.token_keys import KeySet, TokenKey, fits, public_key, size_problem

MAX_JWKS_BYTES = 256 * 1024
MAX_KEYS = 100
MAX_EXPONENT = 2**33
"""Of RSA. Everybody uses 65537; a long one makes each signature take as long as signing does."""

_PUBLIC: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "RSA": (RSAAlgorithm, ("kty", "n", "e")),
    "EC": (ECAlgorithm, ("kty", "crv", "x", "y")),
    "OKP": (OKPAlgorithm, ("kty", "crv", "x")),
}
"""The parts of a public key. A symmetric one (`oct`) is none: whoever can read it could sign."""


def read_jwks(raw: bytes, algorithms: Sequence[str]) -> KeySet | str:
    """The keys of a document that are for one of these algorithms, or what is wrong with it."""
    if len(raw) > MAX_JWKS_BYTES:
        return f"is longer than {MAX_JWKS_BYTES} bytes"
    try:
        document = read_json(raw)
    except ValueError as error:
        return f"is no JSON: {error}"
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        return f"has no list `keys` of at most {MAX_KEYS}"
    keys = tuple(_usable(listed, algorithms))
    return KeySet(keys, by_kid=True) if keys else f"has no key for {', '.join(algorithms)}"


def _usable(listed: Sequence[Any], algorithms: Sequence[str]) -> Iterator[TokenKey]:
    for jwk in listed:
        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
            continue
        operations, kid = jwk.get("key_ops", ["verify"]), jwk.get("kid")
        if not isinstance(operations, list) or "verify" not in operations:
            continue
        if kid is not None and not isinstance(kid, str):
            continue
        key = _read(jwk)
        own = [name for name in algorithms if jwk.get("alg", name) == name and fits(name, key)]
        if own and size_problem(key) is None:
            yield public_key(own, key, kid)


def _read(jwk: Mapping[str, Any]) -> Any:
    kty = jwk.get("kty")
    reader, parts = _PUBLIC.get(kty, (None, ())) if isinstance(kty, str) else (None, ())
    if reader is None:
        return None
    public = {name: jwk.get(name) for name in parts}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        key = reader.from_jwk(public)
        return None if kty == "RSA" and key.public_numbers().e > MAX_EXPONENT else key
    except (InvalidKeyError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
