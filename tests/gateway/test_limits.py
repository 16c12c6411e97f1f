"""Which limits a request falls under, and how they are told."""

from typing import Any

import pytest

from gateway.client_address import Client
from gateway.identity import User
from gateway.limits import rate_headers, rules_for
from gateway.settings import LimitsSettings, RouteSettings
from gateway.windows import Rule, Verdict

HERE = Client("192.0.2.1", "http")
LIMITS = LimitsSettings(per_address=10, per_user=20, tiers={"free": 5, "elite": None}, window_s=30)


def user(tier: str | None = None) -> User:
    return User("u1", tier, 0.0)


def route(**more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"path": "/x/{id}", "service": "s", "access": "public", **more})


def test_a_caller_without_a_verified_token_is_counted_by_address() -> None:
    assert rules_for(LIMITS, None, HERE, None) == (Rule("address:192.0.2.1", 10, 30),)
    (rule,) = rules_for(LIMITS, None, Client("2001:db8::7", "http"), None)
    assert rule.key == "address:2001:db8::/64"


@pytest.mark.parametrize(("tier", "limit"), [(None, 20), ("unheard-of", 20), ("free", 5)])
def test_a_user_is_counted_by_tier(tier: str | None, limit: int) -> None:
    assert rules_for(LIMITS, None, HERE, user(tier)) == (Rule("user:u1", limit, 30),)


def test_no_limit_is_no_rule() -> None:
    assert rules_for(LIMITS, None, HERE, user("elite")) == ()
    assert rules_for(LimitsSettings(per_address=None), route(), HERE, None) == ()


def test_a_route_counts_each_caller_on_its_own() -> None:
    assert rules_for(LIMITS, route(limit=3), HERE, user("elite")) == (Rule("route:/x/{id}:user:u1", 3, 30),)
    assert rules_for(LIMITS, route(limit=3), HERE, None) == (
        Rule("address:192.0.2.1", 10, 30),
        Rule("route:/x/{id}:address:192.0.2.1", 3, 30),
    )


def test_headers_of_an_answer() -> None:
    assert rate_headers(Verdict(True, 10, 9, 29.01, 0.0)) == (
        ("X-RateLimit-Limit", "10"),
        ("X-RateLimit-Remaining", "9"),
        ("X-RateLimit-Reset", "30"),
    )


def test_a_refusal_says_when_to_come_back() -> None:
    assert dict(rate_headers(Verdict(False, 10, 0, 4.0, 4.0)))["Retry-After"] == "4"
    assert dict(rate_headers(Verdict(False, 10, 0, 0.001, 0.001)))["Retry-After"] == "1"
