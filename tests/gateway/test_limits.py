"""Which limits a request falls under, and how they are told."""

import re
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.client_address import Client
from gateway.identity import User
from gateway.limits import (
    LimitPlan,
    RateStyle,
    kind_of,
    plan_of,
    rate_headers,
    rules_for,
    style_of,
    too_often,
)
from gateway.settings import LimitsSettings, RouteSettings
from gateway.windows import Rule, Verdict

HERE = Client("192.0.2.1", "http")
LIMITS: dict[str, Any] = {
    "per_address": 10,
    "per_user": 20,
    "tiers": {"free": 5, "elite": None},
    "window_s": 30,
}
NONE: dict[str, Any] = {"per_address": None, "per_user": None}


def user(tier: str | None = None) -> User:
    return User("u1", tier, 0.0)


def route(**more: Any) -> RouteSettings:
    return RouteSettings.model_validate({"path": "/x/{id}", "service": "s", "access": "public", **more})


def plan(limits: dict[str, Any], of: RouteSettings | None = None) -> LimitPlan:
    made = plan_of(LimitsSettings.model_validate(limits), of)
    assert made is not None
    return made


def counted(
    limits: dict[str, Any],
    of: RouteSettings | None = None,
    *,
    client: Client = HERE,
    user: User | None = None,
) -> dict[str, tuple[int, float]]:
    """What a request counts against: key -> requests and seconds."""
    rules = rules_for(plan(limits, of), client, user)
    assert len({rule.counted_under for rule in rules}) == len(rules), "counted twice in one window"
    return {rule.key: (rule.limit, rule.window_s) for rule in rules}


def test_a_caller_without_a_verified_token_is_counted_by_address() -> None:
    assert rules_for(plan(LIMITS), HERE, None) == (Rule("address:192.0.2.1", 10, 30, "address"),)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("2001:db8::7", "address:2001:db8::/64"),
        ("2001:db8::ffff:7", "address:2001:db8::/64"),
        ("::ffff:192.0.2.1", "address:192.0.2.1"),
        ("unknown", "address:unknown"),
    ],
)
def test_an_ipv6_caller_is_its_network_and_ipv4_in_ipv6_clothes_is_ipv4(address: str, key: str) -> None:
    assert list(counted(LIMITS, client=Client(address, "http"))) == [key]


@pytest.mark.parametrize(
    ("tier", "limit", "kind"), [(None, 20, "user"), ("unheard-of", 20, "user"), ("free", 5, "tier")]
)
def test_a_user_is_counted_by_tier(tier: str | None, limit: int, kind: str) -> None:
    (rule,) = rules_for(plan(LIMITS), HERE, user(tier))
    assert (rule.key, rule.limit, kind_of(rule)) == ("user:u1", limit, kind)


def test_no_limit_is_no_rule_and_nothing_but_nothing_is_no_plan() -> None:
    assert counted(LIMITS, user=user("elite")) == {}
    assert counted({"per_address": None}) == {}
    assert plan_of(LimitsSettings.model_validate(NONE), route()) is None
    assert plan_of(LimitsSettings.model_validate({**NONE, "tiers": {"elite": None}}), None) is None
    assert plan_of(LimitsSettings.model_validate({**NONE, "tiers": {"free": 1}}), None) is not None


def test_a_route_counts_each_caller_on_its_own() -> None:
    assert counted(LIMITS, route(limit=3), user=user("elite")) == {"route:/x/{id}:user:u1": (3, 30)}
    assert counted(LIMITS, route(limit=3)) == {
        "address:192.0.2.1": (10, 30),
        "route:/x/{id}:address:192.0.2.1": (3, 30),
    }


@pytest.mark.parametrize(
    ("per", "of_a_stranger", "of_a_user"),
    [
        ("caller", "address:192.0.2.1", "user:u1"),
        ("address", "address:192.0.2.1", "address:192.0.2.1"),
        ("user", None, "user:u1"),
        ("everybody", "everybody", "everybody"),
    ],
)
def test_whose_requests_are_counted_together(per: str, of_a_stranger: str | None, of_a_user: str) -> None:
    limits = {**NONE, "rules": [{"requests": 7, "per": per, "window_s": 1}]}
    expected = {} if of_a_stranger is None else {f"global:{of_a_stranger}": (7, 1)}
    assert counted(limits) == expected
    assert counted(limits, user=user()) == {f"global:{of_a_user}": (7, 1)}


def test_every_rule_has_a_window_of_its_own_also_when_two_look_alike() -> None:
    more = [{"requests": 1}, {"requests": 2}, {"requests": 3, "window_s": 5}]
    found = counted({**LIMITS, "rules": more}, route(limit=4, limits=more))
    assert found == {
        "address:192.0.2.1": (10, 30),
        "global:address:192.0.2.1": (1, 30),
        "global-2:address:192.0.2.1": (2, 30),
        "global-3:address:192.0.2.1": (3, 5),
        "route:/x/{id}:address:192.0.2.1": (4, 30),
        "route:/x/{id}-2:address:192.0.2.1": (1, 30),
        "route:/x/{id}-3:address:192.0.2.1": (2, 30),
        "route:/x/{id}-4:address:192.0.2.1": (3, 5),
    }
    rules = rules_for(plan({**LIMITS, "rules": more}, route(limits=more)), HERE, None)
    assert len({rule.name for rule in rules}) == len(rules)
    assert {kind_of(rule) for rule in rules} == {"address", "global", "route"}


def test_a_rules_own_tiers_stand_in_its_place() -> None:
    limits = {**NONE, "rules": [{"requests": 7, "tiers": {"gold": 70, "elite": None}}]}
    assert counted(limits, user=user("gold")) == {"global:user:u1": (70, 60)}
    assert counted(limits, user=user("iron")) == {"global:user:u1": (7, 60)}
    assert counted(limits, user=user("elite")) == {}
    assert counted(limits) == {"global:address:192.0.2.1": (7, 60)}


def test_exempt_networks_are_not_counted_at_all() -> None:
    exempt = {**LIMITS, "exempt": ["192.0.2.0/24", "2001:db8::/32"]}
    for address in ("192.0.2.1", "2001:db8::9", "::ffff:192.0.2.200"):
        assert counted(exempt, route(limit=1), client=Client(address, "http"), user=user()) == {}
    for address in ("198.51.100.1", "unknown"):
        assert len(counted(exempt, client=Client(address, "http"))) == 1


# How they are told

ADDRESS, ROUTE = Rule("a", 10, 60.0, "address"), Rule("r", 3, 0.5, "route")
X, IETF, BOTH, NEITHER = (
    RateStyle(x, ietf) for x, ietf in ((True, False), (False, True), (True, True), (False, False))
)
NOW = 1_700_000_000.25
_ITEM = r'"[ !#-[\]-~]*"(?:; *[a-z*][a-z0-9_.*-]*=-?[0-9]{1,15})*'
STRUCTURED = re.compile(rf"{_ITEM}(?:[ \t]*,[ \t]*{_ITEM})*")
"""A list of strings with whole numbers as parameters (RFC 9651, 3.1)."""


def told(verdict: Verdict, style: RateStyle) -> dict[str, str]:
    return dict(rate_headers(verdict, (ADDRESS, ROUTE), style, NOW))


def test_headers_of_an_answer() -> None:
    assert told(Verdict(ADDRESS, True, 9, 29.01, 0.0), X) == {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "30",
    }


def test_reset_may_be_a_time_of_day_as_others_have_it() -> None:
    epoch = RateStyle(epoch=True)
    assert told(Verdict(ADDRESS, True, 9, 29.5, 0.0), epoch)["X-RateLimit-Reset"] == "1700000030"


def test_the_ietf_fields_are_structured_fields() -> None:
    headers = told(Verdict(ROUTE, True, 2, 0.2, 0.0), IETF)
    assert headers == {
        "RateLimit-Policy": '"address";q=10;w=60, "route";q=3;w=1',
        "RateLimit": '"route";r=2;t=1',
    }
    assert all(STRUCTURED.fullmatch(value) for value in headers.values())


def test_both_or_none_of_them() -> None:
    verdict = Verdict(ADDRESS, True, 9, 29.01, 0.0)
    assert told(verdict, BOTH) == told(verdict, X) | told(verdict, IETF)
    assert told(verdict, NEITHER) == {}


@pytest.mark.parametrize("style", [X, IETF, BOTH, NEITHER])
def test_a_refusal_says_when_to_come_back_whatever_the_style(style: RateStyle) -> None:
    assert told(Verdict(ADDRESS, False, 0, 3.5, 4.0), style)["Retry-After"] == "4"
    assert told(Verdict(ADDRESS, False, 0, 0.001, 0.001), style)["Retry-After"] == "1"


def test_it_is_told_when_the_store_does_not_answer() -> None:
    degraded = Verdict(ADDRESS, True, 9, 29.01, 0.0, degraded=True)
    assert told(degraded, NEITHER) == {"X-RateLimit-Policy": "degraded"}
    share = degraded._replace(rule=Rule(ROUTE.key, 2, ROUTE.window_s, ROUTE.name))
    assert told(share, IETF)["RateLimit-Policy"] == '"route";q=2;w=1', "no other number than it goes by"


def test_the_style_is_in_the_settings() -> None:
    assert style_of(LimitsSettings()) == RateStyle(x=True, ietf=False, epoch=False)
    assert style_of(LimitsSettings(headers=("ietf",), reset="epoch")) == RateStyle(False, True, True)


@pytest.mark.parametrize(
    ("limit", "window_s", "text"),
    [
        (60, 60.0, "60 requests per minute"),
        (1, 1.0, "1 request per second"),
        (0, 3600.0, "0 requests per hour"),
        (9, 86_400.0, "9 requests per day"),
        (5, 90.0, "5 requests per 90 seconds"),
        (5, 0.5, "5 requests per 0.5 seconds"),
    ],
)
def test_a_refusal_names_the_limit_in_words(limit: int, window_s: float, text: str) -> None:
    error = too_often(Verdict(Rule("a", limit, window_s), False, 0, 1.0, 41.5))
    assert error.message == f"You have exceeded the rate limit of {text}"
    assert (error.status, error.error, error.reason) == (429, "Rate limit exceeded", "rate_limited")
    assert error.more == (("retry_after", 42),)


def test_networks_are_what_the_settings_say() -> None:
    assert plan({**LIMITS, "exempt": ["10.0.0.0/8"]}).exempt == (ip_network("10.0.0.0/8"),)
