"""What an issuer publishes, and what of it is used."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.jwks import MAX_JWKS_BYTES, read_jwks
from gateway.token_keys import KeySet
from tests.gateway.tokens import ED, P256, P384, RSA, jwk, part

ALL = ["RS256", "RS512", "ES256", "ES384", "EdDSA"]
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)
GOOD = jwk(P256, "ES256", kid="good")


def read(*keys: Any, algorithms: list[str] = ALL) -> KeySet | str:
    return read_jwks(json.dumps({"keys": keys}).encode(), algorithms)


def kids(*keys: Any, algorithms: list[str] = ALL) -> list[str | None]:
    found = read(*keys, algorithms=algorithms)
    assert isinstance(found, KeySet), found
    return [key.kid for key in found.keys]


def test_each_kind_of_key() -> None:
    found = read(
        jwk(RSA, "RS256", kid="r", alg="RS256"),
        jwk(RSA, "RS256", kid="any"),
        GOOD,
        jwk(ED, "EdDSA", use="sig"),
    )
    assert isinstance(found, KeySet)
    assert [(key.kid, key.algorithms) for key in found.keys] == [
        ("r", ("RS256",)),
        ("any", ("RS256", "RS512")),
        ("good", ("ES256",)),
        (None, ("EdDSA",)),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "oct", "k": part(b"s" * 32), "kid": "x", "alg": "HS256"},
        jwk(P256, "ES256", kid="x", use="enc"),
        jwk(P256, "ES256", kid="x", key_ops=["sign"]),
        jwk(P256, "ES256", kid="x", key_ops="verify"),
        jwk(P256, "ES256", kid="x", alg="ES384"),
        jwk(P256, "ES256", kid="x", alg="HS256"),
        jwk(P256, "ES256", kid=7),
        jwk(P256, "ES256", kid="x", x=None),
        jwk(P256, "ES256", kid="x", x="AAAA"),
        jwk(P256, "ES256", kid="x", crv="P-384"),
        jwk(P256, "ES256", kid="x", kty=["EC"]),
        jwk(SHORT, "RS256", kid="x"),
        jwk(RSA, "RS256", kid="x", e=part(b"\x01" + b"\x00" * 8 + b"\x01")),
        jwk(RSA, "RS256", kid="x", n="*"),
        {},
        [],
        None,
        "key",
    ],
)
def test_what_is_passed_over(odd: Any) -> None:
    assert kids(odd, GOOD) == ["good"]


def test_only_the_configured_algorithms() -> None:
    assert kids(GOOD, jwk(P384, "ES384", kid="other"), algorithms=["ES384"]) == ["other"]


def test_private_parts_are_not_read() -> None:
    private = json.loads(json.dumps(GOOD)) | {"d": part(b"1" * 32)}
    found = read(private)
    assert isinstance(found, KeySet)
    assert not hasattr(found.keys[0].material, "sign")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"<html>", "no JSON"),
        (b'{"keys": [], "keys": []}', "no JSON"),
        (b"[]", "no list `keys`"),
        (b'{"keys": {}}', "no list `keys`"),
        (json.dumps({"keys": [{}] * 101}).encode(), "no list `keys`"),
        (b'{"keys": []}', "no key for RS256"),
        (b" " * (MAX_JWKS_BYTES + 1), "longer than"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_documents_that_are_refused_whole(raw: bytes, problem: str) -> None:
    assert problem in str(read_jwks(raw, ALL))


PARTS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"])
VALUES = st.sampled_from(
    ["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "AQAB", "AAAA", "", "sig", "ES256", None, 7]
)


@given(st.lists(st.dictionaries(PARTS, VALUES), max_size=3))
def test_no_document_raises(keys: list[dict[str, Any]]) -> None:
    assert isinstance(read(*keys, GOOD), KeySet)
