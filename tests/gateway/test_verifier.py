"""Tokens: whose they are, and every way in which they are not good."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Reason
from gateway.identity import Rejected, User
from gateway.remembered_users import RememberedUsers
from gateway.settings import IdentitySettings
from gateway.token_keys import KeySet, TokenKey, pem_key, public_key, secret_key
from gateway.verifier import UnknownKey, Verifier
from tests.gateway.tokens import (
    ED,
    GOOD,
    NOW,
    P256,
    P384,
    P521,
    RSA,
    SECRET,
    part,
    pem,
    public,
    signed,
    signed_by,
    token,
)

VECTORS = Path(__file__).parents[3] / "shared/external/jws/json_web_signature_test.json"
DEEP = ("[" * 2500 + "]" * 2500).encode()


def verifier(**settings: Any) -> Verifier:
    return Verifier(IdentitySettings.model_validate(settings), secret_key(["HS256"], SECRET))


def by_public_key(algorithm: str, key: Any) -> Verifier:
    settings = IdentitySettings.model_validate({"algorithms": [algorithm]})
    return Verifier(settings, pem_key([algorithm], pem(key)))


def by_set(*keys: tuple[str | None, Any], algorithm: str = "ES256") -> Verifier:
    settings = IdentitySettings.model_validate({"algorithms": [algorithm]})
    return Verifier(settings, key_set(*keys, algorithm=algorithm))


def key_set(*keys: tuple[str | None, Any], algorithm: str = "ES256") -> KeySet:
    return KeySet(tuple(public_key([algorithm], public(key), kid) for kid, key in keys), by_kid=True)


def test_a_good_token_has_a_user() -> None:
    user = verifier().verify(token(tier="free", email="secret"), NOW)
    assert isinstance(user, User)
    assert (user.id, user.tier, user.expires_at, user.ends_at) == ("u1", "free", NOW + 60, NOW + 60)
    assert "secret" not in repr(user), "what nobody here needs is not kept"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512"), (ED, "EdDSA")),
        *((P256, "ES256"), (P384, "ES384"), (P521, "ES512")),
    ],
)
def test_public_keys(key: Any, algorithm: str) -> None:
    made, known = signed_by(key, algorithm), by_public_key(algorithm, key)
    assert isinstance(known.verify(made, NOW), User)
    assert isinstance(known.verify(made[:-8] + "AAAAAAAA", NOW), Rejected)


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secrets(algorithm: str, size: int) -> None:
    settings = IdentitySettings.model_validate({"algorithms": [algorithm]})
    known = Verifier(settings, secret_key([algorithm], "s" * size))
    assert isinstance(known.verify(jwt.encode(GOOD, "s" * size, algorithm), NOW), User)
    assert isinstance(known.verify(jwt.encode(GOOD, "x" * size, algorithm), NOW), Rejected)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "nOnE"},
        {"alg": "HS384"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"alg": "HS256", "crit": ["x"], "x": 1},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "kid": 7},
        b'{"alg": "HS256", "alg": "HS256"}',
        [],
        "HS256",
        None,
        b"\xff{",
        '{"alg": "HS256"}'.encode("utf-16"),
        DEEP,
    ],
    ids=lambda header: repr(header)[:60],
)
def test_a_header_selects_nothing(header: object) -> None:
    refused = verifier().verify(signed(header, GOOD), NOW)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize("claims", [b"{", b"\xff", b'{"sub": "a", "sub": "b"}', b'{"exp": NaN}', DEEP])
def test_claims_that_are_not_readable(claims: bytes) -> None:
    refused = verifier().verify(signed({"alg": "HS256"}, claims), NOW)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.INVALID_TOKEN
    assert "not readable" in refused.detail


def test_the_length_is_bounded() -> None:
    known = verifier(max_token_bytes=256)
    assert isinstance(known.verify(token(x="y" * 20), NOW), User)
    assert known.verify(token(x="y" * 200), NOW) == Rejected(Reason.INVALID_TOKEN, "too long")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "tier", "jti", "uid", "roles", "scope"])


@given(
    st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", fullmatch=True)
)
def test_whatever_comes_is_judged_without_an_exception(raw: str) -> None:
    assert isinstance(verifier().verify(raw, NOW), Rejected)


@given(
    st.dictionaries(CLAIMS, JSON),
    st.dictionaries(st.sampled_from(["alg", "typ", "crit", "b64", "kid"]), JSON),
)
def test_well_signed_nonsense_is_judged_without_an_exception(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    known = verifier(claim_headers={"X-Roles": "roles", "X-Tier": "tier"})
    for made in (signed({"alg": "HS256"}, claims), signed(header, GOOD)):
        judged = known.verify(made, NOW)
        assert isinstance(judged, Rejected) or (judged.id.isascii() and judged.id.isprintable())
        if isinstance(judged, User):
            assert all(value.isascii() and b"\r" not in value + name for name, value in judged.headers)


def test_good_tokens_are_remembered_until_they_expire() -> None:
    known, good = verifier(), token()
    assert known.verify(good, NOW) is known.verify(good, NOW + 90)
    assert "1 tokens" in repr(known)
    assert known.verify(good, NOW + 91) == Rejected(Reason.EXPIRED_TOKEN, "expired")
    assert "0 tokens" in repr(known)


def test_what_is_remembered_is_bounded() -> None:
    settings = IdentitySettings()
    known = Verifier(settings, secret_key(["HS256"], SECRET), remembered=RememberedUsers(most=2))
    for name in ("one", "two", "three"):
        known.verify(token(sub=name), NOW)
    assert "2 tokens" in repr(known)


def test_a_rejected_token_says_so_without_saying_why() -> None:
    bad = ("x.y.z", signed({"alg": "none"}, GOOD), token(aud="x"), token()[:-4] + "AAAA")
    answers = [
        answer for answer in (verifier().verify(one, NOW) for one in bad) if isinstance(answer, Rejected)
    ]
    assert len({answer.detail for answer in answers}) == 4, "the log is told"
    assert len({answer.error() for answer in answers}) == 1, "the client is not"


# A set of keys, as issuers publish it


def test_the_kid_picks_a_key_of_the_set() -> None:
    known = by_set(("a", P256), ("b", ED))
    assert isinstance(known.verify(signed_by(P256, "ES256", "a"), NOW), User)
    assert isinstance(known.verify(signed_by(P256, "ES256"), NOW), User), "none named: those that fit"


def test_a_key_that_is_not_known_may_be_newer() -> None:
    known = by_set(("a", P256))
    assert isinstance(known.verify(signed_by(P256, "ES256", "b"), NOW), UnknownKey)
    other = signed_by(P521, "ES512", "b")
    refused = known.verify(other, NOW)
    assert not isinstance(refused, UnknownKey), "another algorithm can't become right"
    forged = signed_by(P256, "ES256", "a")[:-8] + "AAAAAAAA"
    assert not isinstance(known.verify(forged, NOW), UnknownKey), "the key is known, and did not sign"
    assert not isinstance(verifier().verify(signed_by(P256, "ES256", "b"), NOW), UnknownKey)


def test_tokens_of_a_key_that_stays_stay_good_and_others_do_not() -> None:
    old, new = signed_by(P256, "ES256", "a"), signed_by(P256, "ES256", "b")
    known = by_set(("a", P256))
    era, user = known.era, known.verify(old, NOW)
    known.follow(key_set(("a", P256), ("b", P256)))
    assert known.verify(old, NOW) is user
    seen = [era.over]
    assert isinstance(known.verify(new, NOW), User)
    known.follow(KeySet((public_key(["EdDSA"], public(ED), "c"),), by_kid=True))
    assert [*seen, era.over, known.era.over] == [False, True, False]
    assert isinstance(known.verify(old, NOW), UnknownKey)
    assert isinstance(known.verify(new, NOW), UnknownKey)


# Public vectors

DIFFERENT = {259, 367, 370, 372, 373}
"""We are stricter: no empty payload, no odd characters that decoders skip (259, 372, 373). Two are the text
of a valid vector, without the padding they are named for (367, 370)."""


@pytest.mark.skipif(not VECTORS.exists(), reason="shared/external is not beside the project")
def test_the_public_vectors_are_told_apart_by_their_signatures() -> None:
    """No vector's payload is a JSON object, so a good signature is refused for the payload alone."""
    counted = {"valid": 0, "invalid": 0}
    for group in json.loads(VECTORS.read_text())["testGroups"]:
        jwk = group.get("public") or group["private"]
        if jwk.get("alg") not in ("HS256", "RS256", "ES256") or jwk.get("use", "sig") != "sig":
            continue
        key, algorithms = jwt.PyJWK(jwk).key, [jwk["alg"]]
        settings = IdentitySettings.model_validate({"algorithms": algorithms})
        secret = KeySet((TokenKey(tuple(algorithms), key, b""),))
        known = Verifier(settings, secret if isinstance(key, bytes) else pem_key(algorithms, pem(key)))
        for case in group["tests"]:
            raw = case["jws"] if isinstance(case["jws"], str) else json.dumps(case["jws"])
            found = known.verify(raw, NOW)
            assert isinstance(found, Rejected)
            good = found.detail.startswith("the claims are not readable")
            if case["tcId"] not in DIFFERENT:
                assert good is (case["result"] == "valid"), (case["tcId"], case["comment"], found.detail)
            counted[case["result"]] += 1
    assert min(counted.values()) > 10


def test_a_public_key_is_no_secret() -> None:
    """The oldest trick: HS256 with the public key as the secret."""
    forged = signed({"alg": "HS256", "typ": "JWT"}, GOOD, pem(RSA).encode())
    assert by_public_key("RS256", RSA).verify(forged, NOW) == Rejected(
        Reason.INVALID_TOKEN, "another algorithm"
    )


def test_the_parts_of_two_tokens_make_no_third() -> None:
    head, _, signature = token().split(".")
    assert isinstance(verifier().verify(f"{head}.{part({**GOOD, 'sub': 'root'})}.{signature}", NOW), Rejected)
