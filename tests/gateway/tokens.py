"""Keys and tokens of tests, well and badly made."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

SECRET = "a secret of the gateway's tests, long enough"
NOW = 1_800_000_000.0

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED = ed25519.Ed25519PrivateKey.generate()

GOOD = {"sub": "u1", "exp": NOW + 60}


def public(key: Any) -> Any:
    """Of a private or a public key."""
    return key.public_key() if hasattr(key, "public_key") else key


def pem(key: Any) -> str:
    text: bytes = public(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def der(key: Any) -> bytes:
    raw: bytes = public(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    """A public key as an issuer publishes it."""
    found: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(public(key), as_dict=True)
    return {name: value for name, value in found.items() if name != "key_ops"} | more


def token(claims: Mapping[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode({**GOOD, **(claims or {}), **more}, SECRET, algorithm="HS256")


def signed_by(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({**GOOD, **claims}, key, algorithm=algorithm, headers=headers)


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, claims: object, key: bytes = SECRET.encode()) -> str:
    """Any header and claims, well or badly formed, with a good HS256 signature."""
    body = f"{part(header)}.{part(claims)}"
    return f"{body}.{part(hmac.digest(key, body.encode(), 'sha256'))}"
