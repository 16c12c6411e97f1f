from typing import Any

import jwt
import pytest

from examples.standins import tokens
from examples.standins.tokens import Sessions
from tests.examples.chat.clients import Clock
from tests.examples.standins.running import SECRET


class Town:
    """Sessions, a clock, and what the tokens say."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tier = "free"
        self.sessions = Sessions(SECRET, self.clock, lambda _: {"tier": self.tier}, access_s=600)

    def begin(self, uid: str = "ada") -> dict[str, Any]:
        return self.sessions.begin(uid)

    def holder(self, pair: dict[str, Any]) -> str | None:
        claims = self.sessions.holder(pair["access_token"])
        return claims.uid if claims else None


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_an_access_token_says_what_the_gateway_wants_to_know() -> None:
    town = Town()
    pair = town.begin()
    claims = claims_of(pair["access_token"])
    assert (claims["sub"], claims["tier"], claims["typ"]) == ("ada", "free", "access")
    assert claims["exp"] == town.clock.now + 600 == claims["iat"] + pair["expires_in"]


def test_a_session_lasts_until_it_is_ended_and_each_of_its_tokens_ends_it() -> None:
    for token in ("access_token", "refresh_token"):
        town = Town()
        pair, other = town.begin(), town.begin("bob")
        assert town.holder(pair) == "ada"
        assert town.sessions.end(pair[token]) == "ada"
        assert town.holder(pair) is None
        assert town.sessions.renew(pair["refresh_token"]) is None
        assert town.sessions.end(pair[token]) is None
        assert town.holder(other) == "bob"


def test_an_access_token_ends_with_its_time() -> None:
    town = Town()
    pair = town.begin()
    town.clock.now += 600
    assert town.holder(pair) is None
    assert town.sessions.renew(pair["refresh_token"]) is not None


def test_a_refresh_token_is_good_once_and_brings_what_is_true_now() -> None:
    town = Town()
    pair = town.begin()
    town.tier = "elite"
    renewed = town.sessions.renew(pair["refresh_token"])
    assert renewed is not None
    uid, tokens_now = renewed
    assert (uid, claims_of(str(tokens_now["access_token"]))["tier"]) == ("ada", "elite")
    assert town.sessions.renew(pair["refresh_token"]) is None
    assert town.sessions.renew("no token at all") is None


def test_tokens_are_made_anew_for_who_is_logged_in() -> None:
    town = Town()
    pair = town.begin()
    town.tier = "premium"
    anew = town.sessions.reissue(pair["access_token"])
    assert anew is not None
    assert claims_of(str(anew["access_token"]))["tier"] == "premium"
    town.sessions.end_all("ada")
    assert town.sessions.reissue(pair["access_token"]) is None


def test_everybodys_tokens_have_names_of_their_own() -> None:
    town = Town()
    pair = town.begin()
    again = town.sessions.renew(pair["refresh_token"])
    assert again is not None
    names = {claims_of(str(one["access_token"]))["jti"] for one in (pair, again[1], town.begin())}
    assert len(names) == 3


def test_the_oldest_session_ends_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_SESSIONS", 2)
    town = Town()
    pairs = [town.begin(uid) for uid in ("ada", "bob", "cyd")]
    assert [town.holder(pair) for pair in pairs] == [None, "bob", "cyd"]
