"""What revoked tokens are known by, and how long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.revocation import RevokedTokens, RevokeMessage, jti_id, token_id


def test_a_token_is_known_by_its_jti_else_by_what_is_signed() -> None:
    assert token_id({"jti": "1"}, b"a.b") == token_id({"jti": "1"}, b"c.d") == jti_id("1")
    assert token_id({}, b"a.b") == token_id({"jti": ""}, b"a.b") != token_id({}, b"a.c")
    assert token_id({"jti": "1"}, b"") != token_id({}, b"1"), "nobody makes a jti of another token's text"
    assert token_id([], b"a.b") == token_id({}, b"a.b")
    assert "secret" not in jti_id("secret")


def test_until_the_token_expires() -> None:
    revoked = RevokedTokens(10)
    revoked.add("a", 100.0, now=50.0)
    revoked.add("late", 40.0, now=50.0)
    assert revoked.holds("a")
    assert not revoked.holds("late")
    revoked.tidy(100.0)
    assert not revoked.holds("a")
    assert len(revoked) == 0


def test_the_later_expiry_counts() -> None:
    revoked = RevokedTokens(10)
    revoked.add("a", 100.0, now=0.0)
    revoked.add("a", 200.0, now=0.0)
    revoked.add("a", 150.0, now=0.0)
    revoked.tidy(150.0)
    assert list(revoked.items()) == [("a", 200.0)]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 50)), max_size=40), st.integers(0, 50))
def test_what_expires_first_is_forgotten_first(added: list[tuple[str, int]], now: int) -> None:
    revoked = RevokedTokens(3)
    for name, until in added:
        revoked.add(name, until, now=0.0)
        assert len(revoked) <= 3
    revoked.tidy(now)
    assert all(until > now for _, until in revoked.items())
    if added and now == 0:
        longest = max(until for _, until in added)
        assert longest in {until for _, until in revoked.items()}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({}, "give the token, or its jti"),
        ({"token": "a", "jti": "b", "expires_at": 1}, "give the token, or its jti"),
        ({"jti": "b"}, "expires_at"),
        ({"token": ""}, "at least 1"),
        ({"jti": "b", "expires_at": -1}, "greater than 0"),
        ({"jti": "b", "expires_at": 1e300}, "less than"),
        ([], "dictionary"),
    ],
)
def test_what_an_operator_must_say(message: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        RevokeMessage.model_validate(message)


def test_what_an_operator_may_say() -> None:
    assert RevokeMessage.model_validate({"token": "a.b.c"}).token == "a.b.c"
    assert RevokeMessage.model_validate({"jti": "1", "expires_at": 5}).expires_at == 5
