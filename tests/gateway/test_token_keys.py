"""Which key is for which token."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.token_keys import MAX_TRIED, KeySet, fits, key_problem, pem_key, public_key, secret_key
from gateway.token_parts import TokenParts, read_token
from tests.gateway.tokens import ED, P256, P384, P521, RSA, SECRET, pem, public, signed_by, token


def parts_of(text: str) -> TokenParts:
    parts = read_token(text, 8192)
    assert isinstance(parts, TokenParts)
    return parts


@pytest.mark.parametrize(
    ("algorithms", "key", "problem"),
    [
        (["RS256", "RS512"], pem(RSA), None),
        (["ES256"], "\n  " + pem(P256), None),
        (["ES384"], pem(P384), None),
        (["ES512"], pem(P521), None),
        (["EdDSA"], pem(ED), None),
        (["EdDSA", "RS256"], pem(ED), "no key for RS256: RS… needs an RSA key"),
        (["ES256"], pem(P384), "no key for ES256: ES256 needs P-256"),
        (["ES256"], pem(ec.generate_private_key(ec.SECP256K1())), "no key for ES256"),
        (["RS256"], pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "2048"),
        (["RS256"], "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----", "no public key"),
        (["RS256"], "é\udc80", "no public key"),
        (["HS256"], pem(RSA), "no key for HS256"),
    ],
)
def test_public_keys_are_judged(algorithms: list[str], key: str, problem: str | None) -> None:
    found = key_problem(algorithms, key)
    assert found is None if problem is None else problem in str(found)


def test_a_key_that_does_not_fit_is_not_taken() -> None:
    with pytest.raises(ValueError, match="no key for RS256"):
        pem_key(["RS256"], pem(ED))


def test_a_public_key_fits_no_symmetric_algorithm() -> None:
    assert not any(fits(name, public(RSA)) for name in ("HS256", "none", "PS256", "ES256", "EdDSA"))


def test_a_key_verifies_only_what_it_is_for() -> None:
    key = public_key(["RS256", "RS512", "ES256"], public(RSA))
    assert key.algorithms == ("RS256", "RS512")
    assert key.verifies(parts_of(signed_by(RSA, "RS256")))
    assert not key.verifies(parts_of(signed_by(RSA, "RS384")))
    assert not key.verifies(parts_of(token()))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED, "EdDSA")])
@pytest.mark.parametrize("signature", ["AA", "A" * 86, "A" * 88, "_" * 86 + "w"])
def test_odd_signatures_are_not_good(key: Any, algorithm: str, signature: str) -> None:
    signed = signed_by(key, algorithm).rpartition(".")[0]
    parts = TokenParts(algorithm, None, signed.encode(), b"{}", signature.encode())
    assert not public_key([algorithm], public(key)).verifies(parts)


def test_a_single_key_is_for_every_token_whatever_its_kid() -> None:
    keys = secret_key(["HS256"], SECRET)
    for kid in (None, "x", "../../dev/null", "' OR 1=1 --"):
        parts = TokenParts("HS256", kid, b"", b"", b"")
        assert list(keys.candidates(parts)) == list(keys.keys)
        assert not keys.may_be_outdated(parts)


def test_of_a_set_the_named_key_or_the_first_few() -> None:
    keys = KeySet(tuple(public_key(["ES256"], public(P256), f"k{n}") for n in range(9)), by_kid=True)
    named = TokenParts("ES256", "k7", b"", b"", b"")
    assert [key.kid for key in keys.candidates(named)] == ["k7"]
    assert len(keys.candidates(TokenParts("ES256", None, b"", b"", b""))) == MAX_TRIED
    assert not keys.candidates(TokenParts("RS256", "k7", b"", b"", b""))
    assert not keys.candidates(TokenParts("ES256", "k99", b"", b"", b""))


def test_keys_are_told_apart_and_not_shown() -> None:
    assert (
        len({*pem_key(["ES256"], pem(P256)).fingerprints, *secret_key(["HS256"], SECRET).fingerprints}) == 2
    )
    assert SECRET not in repr(secret_key(["HS256"], SECRET))
