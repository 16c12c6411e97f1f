"""Which limits a request falls under, and how they are told to the client.

Rules of this file: an address is limited only while nobody has proved who is calling from it. How requests
are counted is in windows.py.
"""

import math
from functools import lru_cache

from gateway.client_address import Client, limit_key
from gateway.identity import User
from gateway.settings import LimitsSettings, RouteSettings
from gateway.windows import Rule, Verdict


def rules_for(
    limits: LimitsSettings, route: RouteSettings | None, client: Client, user: User | None
) -> tuple[Rule, ...]:
    """The rules of one request: its user's (by tier) or its address's, and its route's per caller.

    `user` comes from a verified token only: a token that nobody checked must not choose its own count.
    """
    limit = limits.per_address if user is None else limits.tiers.get(user.tier or "", limits.per_user)
    of_route = None if route is None else route.limit
    if limit is None and of_route is None:
        return ()
    who = f"user:{user.id}" if user is not None else f"address:{limit_key(client.address)}"
    rules = [] if limit is None else [_rule(who, limit, limits.window_s)]
    if route is not None and of_route is not None:
        rules.append(_rule(f"route:{route.path}:{who}", of_route, limits.window_s))
    return tuple(rules)


@lru_cache(maxsize=4096)
def _rule(key: str, limit: int, window_s: float) -> Rule:
    """Remembered: callers come back."""
    return Rule(key, limit, window_s)


def rate_headers(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """`X-RateLimit-*` for every answer, and `Retry-After` with a refusal. Reset is in seconds from now."""
    headers = (
        ("X-RateLimit-Limit", str(verdict.limit)),
        ("X-RateLimit-Remaining", str(verdict.remaining)),
        ("X-RateLimit-Reset", str(math.ceil(verdict.reset_s))),
    )
    if verdict.allowed:
        return headers
    return (*headers, ("Retry-After", str(max(1, math.ceil(verdict.retry_after_s)))))
