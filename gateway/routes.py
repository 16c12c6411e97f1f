"""Method and path -> route, by a table built once.

Rules of this file: the most specific path wins, judged from left to right: plain text before `{name}`
before `/*`. Only then the method counts, so a path with a route of its own never falls through to a
broader one. `/a/*` matches `/a/` and all below it, not `/a`. A `{name}` is one segment that is not empty.
HEAD is allowed where GET is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.patterns import Literal, Pattern, decoded, parse_pattern, split
from gateway.settings_routes import RouteSettings

LOCAL_PATHS = frozenset(
    {
        "/admin/handlers",
        "/admin/logging",
        "/admin/tokens/revoke",
        "/docs",
        "/get_service_instance",
        "/get_websocket_handler",
        "/handlers/admit",
        "/handlers/locate",
        "/handlers/register",
        "/handlers/report",
        "/health",
        "/health/detailed",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/ping",
        "/report_instance",
    }
)
"""The gateway's own endpoints: they come before every route."""

_NO_PARAMS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Match:
    """A route and what the path says to it."""

    route: RouteSettings
    params: Mapping[str, str]
    """Raw segments by name, escapes kept."""
    upstream_path: str
    """What goes upstream, after `strip_prefix` or `rewrite`; of a redirect, where it leads."""

    def upstream_target(self, query: str) -> str:
        """Path and query as they go on the wire; `query` is raw, with its question mark."""
        return self.upstream_path + query


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No route has such a path."""


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """There is a route for the path, but not for the method."""

    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """One route, ready to use."""

    route: RouteSettings
    pattern: Pattern
    onward: Callable[[list[str], list[str]], str] | None
    """(segments of the path, values of its names) -> the path it is made into; `None` changes nothing."""


@dataclass(slots=True)
class _Place:
    """Everything that a pattern's end knows: ways by method."""

    ways: dict[str, _Way] = field(default_factory=dict)
    allow: tuple[str, ...] = ()


@dataclass(slots=True)
class _Node:
    """One segment in the tree of patterns."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    name: "_Node | None" = None
    end: _Place | None = None
    rest: _Place | None = None


class RouteTable:
    """All routes. Never changes; new settings make a new table."""

    def __init__(self, routes: Sequence[RouteSettings], key: Callable[[str], str] = decoded) -> None:
        """`key` says by what segments are compared."""
        self._key = key
        self._root = _Node()
        self._exact: dict[str, _Place] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: RouteSettings) -> None:
        pattern = parse_pattern(route.path)
        if isinstance(pattern, str):
            raise ValueError(f"{route.path}: {pattern}")
        node = self._root
        for part in pattern.segments:
            if isinstance(part, Literal):
                node = node.literals.setdefault(self._key(part.raw), _Node())
            else:
                node.name = node.name or _Node()
                node = node.name
        if pattern.rest:
            place = node.rest = node.rest or _Place()
        else:
            place = node.end = node.end or _Place()
        _fill(place, _Way(route, pattern, _onward(route, pattern)))
        if pattern.exact:
            self._exact[route.path] = place

    def resolve(self, method: str, path: str) -> Match | NoRoute | MethodNotAllowed:
        """The route for a raw path (without query) that `read_target` has let through."""
        place = self._exact.get(path)
        if place is None:
            keys = [self._key(segment) for segment in split(path)]
            place = _find(self._root, keys, 0)
            if place is None:
                return NoRoute()
        way = place.ways.get(method)
        if way is None:
            return MethodNotAllowed(place.allow)
        if way.pattern.exact and way.onward is None:
            return Match(way.route, _NO_PARAMS, path)
        segments = split(path)
        named = zip(way.pattern.segments, segments, strict=False)
        values = [raw for part, raw in named if not isinstance(part, Literal)]
        params = dict(zip(way.pattern.names, values, strict=True))
        return Match(way.route, params, path if way.onward is None else way.onward(segments, values))


def _fill(place: _Place, way: _Way) -> None:
    """Enters a way under its methods; of two for the same method the first holds (settings refuse that)."""
    for method in way.route.methods:
        known = place.ways.get(method)
        if known is None or (method == "HEAD" and "HEAD" not in known.route.methods):
            place.ways[method] = way
    if "GET" in place.ways:
        place.ways.setdefault("HEAD", place.ways["GET"])
    place.allow = tuple(sorted(place.ways))


def _find(node: _Node, keys: list[str], depth: int) -> _Place | None:
    """The most specific place below `node`. The depth is bounded by the deepest pattern, not by the path."""
    if depth == len(keys):
        return node.end
    key = keys[depth]
    child = node.literals.get(key)
    if child is not None and (found := _find(child, keys, depth + 1)) is not None:
        return found
    if key and node.name is not None and (found := _find(node.name, keys, depth + 1)) is not None:
        return found
    return node.rest


def _onward(route: RouteSettings, pattern: Pattern) -> Callable[[list[str], list[str]], str] | None:
    """How the path that came is made into another, if the route has that done."""
    if route.strip_prefix:
        cut = len(split(route.strip_prefix))
        return lambda segments, _values: "/" + "/".join(segments[cut:])
    to = route.redirect.path if route.redirect else route.rewrite
    if not to:
        return None
    new = parse_pattern(to)
    if isinstance(new, str):
        raise ValueError(f"{to}: {new}")
    order = [pattern.names.index(name) for name in new.names]
    kept = len(pattern.segments)
    return lambda segments, values: new.fill([values[n] for n in order], segments[kept:])
