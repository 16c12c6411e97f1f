"""Which limits a request falls under, and how they are told to the client.

Rules of this file: `per_address` limits an address only while nobody has proved who is calling from it. A
user comes from a verified token: a token that nobody checked must not choose its own count. How requests are
counted is in windows.py.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from gateway.client_address import Client, Network, is_in, limit_key, parse_address
from gateway.errors import GatewayError, Header, Reason
from gateway.identity import User
from gateway.settings import LimitsSettings, RouteSettings
from gateway.settings_limits import LimitRuleSettings
from gateway.windows import Rule, Verdict

DEGRADED = ("X-RateLimit-Policy", "degraded")
"""On answers while the store does not answer."""

_PERIODS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86_400.0: "day"}


class Limit(NamedTuple):
    """One line of the settings."""

    name: str
    """`address`, `user`, `route` or `global`, with a number behind it where there are several."""
    prefix: str
    """Of the keys that it counts under."""
    per: Literal["caller", "stranger", "address", "user", "everybody"]
    """A stranger is a caller without a verified token."""
    requests: int | None
    tiers: Mapping[str, int | None]
    window_s: float


class LimitPlan(NamedTuple):
    """All limits of one route, or of the gateway's own endpoints."""

    limits: tuple[Limit, ...]
    exempt: tuple[Network, ...]


class RateStyle(NamedTuple):
    """How limits are told."""

    x: bool = True
    ietf: bool = False
    epoch: bool = False


def plan_of(settings: LimitsSettings, route: RouteSettings | None) -> LimitPlan | None:
    """The limits of requests for `route`, or for no route; `None` where there are none."""
    limits = tuple(_limits(settings, route))
    return LimitPlan(limits, settings.exempt) if limits else None


def _limits(settings: LimitsSettings, route: RouteSettings | None) -> Iterator[Limit]:
    none: dict[str, int | None] = {}
    if settings.per_address is not None:
        yield Limit("address", "", "stranger", settings.per_address, none, settings.window_s)
    if settings.per_user is not None or any(limit is not None for limit in settings.tiers.values()):
        yield Limit("user", "", "user", settings.per_user, settings.tiers, settings.window_s)
    yield from _more("global", "global", settings.rules, settings.window_s)
    if route is not None:
        own = (LimitRuleSettings(requests=route.limit),) if route.limit is not None else ()
        yield from _more("route", f"route:{route.path}", (*own, *route.limits), settings.window_s)


def _more(name: str, prefix: str, rules: Sequence[LimitRuleSettings], window_s: float) -> Iterator[Limit]:
    for number, rule in enumerate(rules, 1):
        behind = f"-{number}" if number > 1 else ""
        window = window_s if rule.window_s is None else rule.window_s
        yield Limit(f"{name}{behind}", f"{prefix}{behind}:", rule.per, rule.requests, rule.tiers, window)


def rules_for(plan: LimitPlan, client: Client, user: User | None) -> tuple[Rule, ...]:
    """What one request counts against."""
    if plan.exempt and (address := parse_address(client.address)) is not None and is_in(address, plan.exempt):
        return ()
    rules = []
    for limit in plan.limits:
        requests, name = limit.requests, limit.name
        if user is not None and limit.tiers and (user.tier or "") in limit.tiers:
            requests = limit.tiers[user.tier or ""]
            name = "tier" if name == "user" else name
        if requests is not None and (who := _who(limit.per, client, user)) is not None:
            rules.append(_rule(limit.prefix + who, requests, limit.window_s, name))
    return tuple(rules)


def _who(per: str, client: Client, user: User | None) -> str | None:
    """Whose requests are counted together; `None` where nobody's are."""
    if per == "everybody":
        return per
    if user is not None and per in ("caller", "user"):
        return f"user:{user.id}"
    if per == "user" or (user is not None and per == "stranger"):
        return None
    return f"address:{limit_key(client.address)}"


@lru_cache(maxsize=4096)
def _rule(key: str, limit: int, window_s: float, name: str) -> Rule:
    """Remembered: callers come back."""
    return Rule(key, limit, window_s, name)


def kind_of(rule: Rule) -> str:
    """The word of a metric's label: `address`, `user`, `tier`, `route` or `global`."""
    return rule.name.partition("-")[0]


def style_of(settings: LimitsSettings) -> RateStyle:
    return RateStyle("x" in settings.headers, "ietf" in settings.headers, settings.reset == "epoch")


def rate_headers(
    verdict: Verdict, rules: Sequence[Rule], style: RateStyle, unix_now: float
) -> tuple[Header, ...]:
    """What every answer says of the limits that it fell under, and a refusal of when to come back."""
    # Taken apart at once: each field by its name is a look-up.
    rule, allowed, remaining, reset_s, _, degraded = verdict
    x, ietf, epoch = style
    headers: tuple[Header, ...] = ()
    if x:
        headers = (
            ("X-RateLimit-Limit", str(rule.limit)),
            ("X-RateLimit-Remaining", str(remaining)),
            ("X-RateLimit-Reset", str(math.ceil(unix_now + reset_s if epoch else reset_s))),
        )
    if ietf:
        left = f'"{rule.name}";r={remaining};t={math.ceil(reset_s)}'
        # Alone, a gateway allows a share: of the others nobody has reckoned it.
        policies = (rule,) if degraded else tuple(rules)
        headers = (*headers, ("RateLimit-Policy", _policy(policies)), ("RateLimit", left))
    if degraded:
        headers = (*headers, DEGRADED)
    return headers if allowed else (*headers, ("Retry-After", str(_wait(verdict))))


@lru_cache(maxsize=1024)
def _policy(rules: tuple[Rule, ...]) -> str:
    """`RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11: a list of structured fields (RFC 9651).

    Windows are whole seconds there, and are rounded up.
    """
    return ", ".join(f'"{rule.name}";q={rule.limit};w={math.ceil(rule.window_s)}' for rule in rules)


def too_often(verdict: Verdict) -> GatewayError:
    """The 429 of a refusal, but for its headers."""
    return _too_often(verdict.rule.limit, verdict.rule.window_s, _wait(verdict))


@lru_cache(maxsize=1024)
def _too_often(limit: int, window_s: float, wait_s: int) -> GatewayError:
    period = _PERIODS.get(window_s, f"{window_s:g} seconds")
    message = f"You have exceeded the rate limit of {limit} request{'s' * (limit != 1)} per {period}"
    return GatewayError(
        429, "Rate limit exceeded", Reason.RATE_LIMITED, message, more=(("retry_after", wait_s),)
    )


def _wait(verdict: Verdict) -> int:
    """Whole seconds, rounded up, at least one: coming back too early is refused again."""
    return max(1, math.ceil(verdict.retry_after_s))
