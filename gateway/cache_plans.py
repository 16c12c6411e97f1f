"""What a route's settings say of its cache, made ready once."""

from balancer.model import CallPolicy
from gateway.cache_keys import digest, names_of
from gateway.caching import Plan
from gateway.patterns import Pattern, parse_pattern
from gateway.settings import RouteSettings, Settings

READING = frozenset({"GET", "HEAD"})
HARMLESS = frozenset({"OPTIONS", "TRACE"})
"""They change nothing, and are not answered from a cache."""

DROPS = Plan(b"", None, 0.0, (), per_user=False, reads=False)
"""Of a method that may change what is kept."""


def plan_of(
    settings: Settings, route: RouteSettings, method: str, policy: CallPolicy, version: str | None
) -> Plan | None:
    """For calls of that route by that method, carried out by `policy`; `None` where no cache is asked.

    One is told of a method that may change something, where any route keeps what is at the same paths.
    """
    if method in HARMLESS:
        return None
    if method not in READING:
        return DROPS if _is_kept(settings, route) else None
    cache = route.cache
    if cache is None:
        return None
    deciding = [decides.header for decides in (route.versions, route.subset) if decides and decides.header]
    vary = names_of([*cache.vary, *deciding])
    sent = (route.header_pairs(), route.remove_headers, route.pass_host)
    id = (route.path, route.access, cache.per_user, policy.service, policy.subset, version, vary, sent)
    return Plan(digest(repr(id).encode()), cache.ttl_s, cache.stale_if_error_s, vary, cache.per_user)


def _is_kept(settings: Settings, route: RouteSettings) -> bool:
    keeping = [other.path for other in settings.routes if other.cache is not None]
    return bool(keeping) and _shape(route.path) in map(_shape, keeping)


def _shape(path: str) -> tuple[str | None, ...]:
    """The same for paths that differ only in how their `{name}`s are called: one place in the table."""
    pattern = parse_pattern(path)
    assert isinstance(pattern, Pattern), "the settings have seen to it"
    return pattern.shape
