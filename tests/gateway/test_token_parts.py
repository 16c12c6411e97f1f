"""One token has one spelling."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.token_parts import TokenParts, digest, read_token
from tests.gateway.tokens import GOOD, P256, part, signed, signed_by, token

ROOM = 8192


def test_a_token_taken_apart() -> None:
    good = signed_by(P256, "ES256", "key-1")
    parts = read_token(good, ROOM)
    assert isinstance(parts, TokenParts)
    assert (parts.algorithm, parts.kid, len(parts.signature)) == ("ES256", "key-1", 64)
    assert parts.signed.decode() == good.rpartition(".")[0]


@pytest.mark.parametrize(
    "spelling",
    [
        *("{}=", "{}==", " {}", "{} ", "{}\n", "\ufeff{}", "{}.", ".{}", "{}.x", "{}.x.y", "{}\x00"),
    ],
)
def test_padding_and_the_like_are_refused(spelling: str) -> None:
    assert isinstance(read_token(spelling.format(token()), ROOM), str)


@pytest.mark.parametrize(
    "odd", ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "\udc80.a.b", "a.a.a", "a.b.c.d.e"]
)
def test_what_is_no_token(odd: str) -> None:
    assert isinstance(read_token(odd, ROOM), str)


@given(st.sampled_from(string.ascii_letters + string.digits + "-_"))
def test_the_last_bits_of_the_last_character_say_nothing_else(last: str) -> None:
    """32 bytes are 43 characters, and of the last one four bits: unchecked, four tokens would be one."""
    read = read_token(token()[:-1] + last, ROOM)
    assert isinstance(read, TokenParts) is (last in "AEIMQUYcgkosw048")


def test_the_length_counts() -> None:
    good = token()
    assert isinstance(read_token(good, len(good)), TokenParts)
    assert read_token(good, len(good) - 1) == "too long"


@pytest.mark.parametrize("where", ["jwk", "jku", "x5c", "x5u", "x5t"])
def test_keys_that_a_token_brings_are_not_looked_at(where: str) -> None:
    parts = read_token(signed({"alg": "HS256", where: ["anything"]}, GOOD), ROOM)
    assert isinstance(parts, TokenParts)
    assert parts.kid is None


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "b64": True},
        {"alg": None},
        {"alg": "HS256", "kid": {}},
        7,
    ],
)
def test_headers_that_are_refused(header: Any) -> None:
    assert isinstance(read_token(signed(header, GOOD), ROOM), str)


def test_the_digest_says_nothing_and_tells_tokens_apart() -> None:
    assert len(digest(token())) == 16
    assert digest(token()) != digest(token(sub="u2"))
    assert digest("\udc80") != digest("\udc81")
    assert part({}) == "e30"
