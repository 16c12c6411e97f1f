"""Keys that tokens are verified with, and which of them may verify which token.

Rules of this file: what a key is for was settled when it was taken in. A token's `kid` picks among the keys
of a set and means nothing else: it is compared, never looked up. PyJWT's algorithms judge signatures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import Algorithm, get_default_algorithms

from gateway.token_parts import TokenParts

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
"""Below, it can be factored some day soon; above, a signature takes milliseconds to verify."""
MAX_TRIED = 4
"""Keys of a set that are tried for a token that names none."""

_CURVES: Mapping[str, type] = {"ES256": SECP256R1, "ES384": SECP384R1, "ES512": SECP521R1}
_RSA = ("RS256", "RS384", "RS512")
_JUDGES: Mapping[str, Algorithm] = get_default_algorithms()


class TokenKey(NamedTuple):
    algorithms: tuple[str, ...]
    """What it may verify."""
    material: Any
    """As PyJWT's algorithms take it."""
    fingerprint: bytes
    """Tells keys apart."""
    kid: str | None = None

    def verifies(self, parts: TokenParts) -> bool:
        """Whether the signature is this key's. The algorithm must be one of the key's own."""
        if parts.algorithm not in self.algorithms:
            return False
        try:
            return _JUDGES[parts.algorithm].verify(parts.signed, self.material, parts.signature)
        except (ValueError, TypeError):
            return False


@dataclass(frozen=True, slots=True)
class KeySet:
    """Never changes; newer keys make a new one."""

    keys: tuple[TokenKey, ...] = ()
    by_kid: bool = False
    """Whether tokens say which of the keys they are signed with. A single key is for every token."""

    def candidates(self, parts: TokenParts) -> Sequence[TokenKey]:
        """The keys that may have signed this token."""
        fitting = [key for key in self.keys if parts.algorithm in key.algorithms]
        if not self.by_kid:
            return fitting
        if parts.kid is None:
            return fitting[:MAX_TRIED]
        return [key for key in fitting if key.kid == parts.kid]

    def may_be_outdated(self, parts: TokenParts) -> bool:
        """Whether a token that none of these verifies may be signed with a key that is newer than they."""
        return self.by_kid and (parts.kid is None or all(key.kid != parts.kid for key in self.keys))

    @property
    def fingerprints(self) -> frozenset[bytes]:
        return frozenset(key.fingerprint for key in self.keys)

    def __repr__(self) -> str:
        return f"<KeySet: {len(self.keys)} keys>"


def secret_key(algorithms: Sequence[str], secret: str) -> KeySet:
    """The shared secret of HS256, HS384 and HS512."""
    raw = secret.encode()
    return KeySet((TokenKey(tuple(algorithms), raw, _fingerprint(raw)),))


def pem_key(algorithms: Sequence[str], pem: str) -> KeySet:
    """One public key. Raises `ValueError`, with words that follow the key path, for one that does not fit."""
    if (problem := key_problem(algorithms, pem)) is not None:
        raise ValueError(problem)
    key = load_pem_public_key(pem.strip().encode())
    return KeySet((public_key(algorithms, key),))


def public_key(algorithms: Sequence[str], key: Any, kid: str | None = None) -> TokenKey:
    """A public key that fits these algorithms, for those of them that it fits."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TokenKey(tuple(a for a in algorithms if fits(a, key)), key, _fingerprint(der), kid)


def key_problem(algorithms: Sequence[str], pem: str) -> str | None:
    """What is wrong with a public key, in words that follow its key path; `None` if it is good."""
    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnicodeError, UnsupportedAlgorithm):
        return "is no public key in PEM form (-----BEGIN PUBLIC KEY-----)"
    unfit = [name for name in algorithms if not fits(name, key)]
    if unfit:
        return f"is no key for {', '.join(unfit)}: {'; '.join(_needed(unfit))}"
    return size_problem(key)


def fits(algorithm: str, key: object) -> bool:
    """Whether that algorithm is one for this public key."""
    if algorithm in _CURVES:
        return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, _CURVES[algorithm])
    if algorithm in _RSA:
        return isinstance(key, RSAPublicKey)
    return algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey)


def size_problem(key: object) -> str | None:
    """What is wrong with the size of a public key; only those of RSA have a choice."""
    if not isinstance(key, RSAPublicKey):
        return None
    if key.key_size < MIN_RSA_BITS:
        return f"is an RSA key of less than {MIN_RSA_BITS} bits"
    return f"is an RSA key of more than {MAX_RSA_BITS} bits" if key.key_size > MAX_RSA_BITS else None


def _needed(algorithms: Sequence[str]) -> Iterator[str]:
    if set(_RSA) & set(algorithms):
        yield "RS… needs an RSA key"
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
    yield from (f"{name} needs {curves[name]}" for name in algorithms if name in curves)


def _fingerprint(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
