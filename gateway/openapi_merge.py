"""What services say of their APIs, as it looks from outside: under the paths of the routes that lead there.

Rules of this file: a path is described only where the route table leads to just that path of the service; who
may call it, and what the gateway answers, is the route's to say and not the service's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.openapi_document import NAME, SECURITY, Draft, path_parameters
from gateway.openapi_references import SCHEMA_REF, references
from gateway.openapi_routes import reasons
from gateway.openapi_upstream import UpstreamApi
from gateway.patterns import Literal, Name, Pattern, decoded, parse_pattern, split
from gateway.routes import Match, RouteTable
from gateway.settings import RouteSettings, Settings

MAX_DESCRIBED = 5000
"""Operations of services in the document. Several routes may lead to each."""
SAMPLE = "x-any-x"
"""Stands for what a name of a template may be, when the route table is asked."""
NOT_FROM_CLIENTS = frozenset({"x-user-id", "x-request-id", "authorization", "accept", "content-type"})
"""Header parameters that the gateway sets, or that OpenAPI ignores as parameters."""


def describe_upstream(
    draft: Draft,
    settings: Settings,
    routes: Iterable[RouteSettings],
    upstream: Mapping[str, UpstreamApi],
) -> set[str]:
    """Adds what these services say, and returns the paths of the routes under which anything was added."""
    told: set[str] = set()
    if not upstream:
        return told
    table, left = RouteTable(settings.routes), MAX_DESCRIBED
    for route in routes:
        api = None if route.service is None else upstream.get(route.service)
        if api is None:
            continue
        for path, method, operation in _reachable(api, route, table):
            if not draft.has(path, method) and left:
                left -= 1
                draft.add(path, method, _outside(draft, settings, route, path, operation))
            told.add(route.path)
    _add_schemas(draft, upstream)
    return told


def renamed(service: str, name: str) -> str:
    """A service's schema among those of all."""
    return f"{service}.{name}"


class Way(NamedTuple):
    """What a route makes of paths, parsed once: a service may have many."""

    public: Pattern
    carried: Pattern
    """The paths that go upstream."""

    @classmethod
    def of(cls, route: RouteSettings) -> "Way":
        public = parse_pattern(route.path)
        assert isinstance(public, Pattern), "the settings have seen to it"
        return cls(public, _carried_to(route))

    def outside(self, inside: str) -> str | None:
        """The path of the gateway that is carried to that path of the service; `None` for none."""
        found = _matched(self.carried, split(inside))
        if found is None:
            return None
        values, rest = found
        return self.public.fill([values.get(name, f"{{{name}}}") for name in self.public.names], rest)


def _reachable(
    api: UpstreamApi, route: RouteSettings, table: RouteTable
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    way = Way.of(route)
    for path, operations in api.paths.items():
        inside = api.base + path
        outside = way.outside(inside)
        if outside is None or len(set(NAME.findall(outside))) < len(NAME.findall(outside)):
            continue
        for method, operation in operations.items():
            match table.resolve(method.upper(), NAME.sub(SAMPLE, outside)):
                case Match() as found if found.route is route:
                    if found.upstream_path == NAME.sub(SAMPLE, inside):
                        yield outside, method, operation


def _carried_to(route: RouteSettings) -> Pattern:
    """The paths that go upstream, as a pattern."""
    pattern = parse_pattern(route.rewrite or route.path)
    assert isinstance(pattern, Pattern), "the settings have seen to it"
    if not route.strip_prefix:
        return pattern
    left = pattern.segments[len(split(route.strip_prefix)) :]
    return Pattern(left if left or pattern.rest else (Literal(""),), pattern.rest)


def _matched(pattern: Pattern, segments: list[str]) -> tuple[dict[str, str], list[str]] | None:
    """What stands for the pattern's names, and for its rest."""
    count = len(pattern.segments)
    if len(segments) < count + pattern.rest or (len(segments) > count and not pattern.rest):
        return None
    values: dict[str, str] = {}
    for part, segment in zip(pattern.segments, segments, strict=False):
        if isinstance(part, Name):
            if not segment:
                return None
            values[part.name] = segment
        elif part.key != decoded(segment):
            return None
    return values, segments[count:]


def _outside(
    draft: Draft, settings: Settings, route: RouteSettings, path: str, operation: Mapping[str, Any]
) -> dict[str, Any]:
    """The operation as a caller of the gateway sees it."""
    assert route.service is not None
    made: dict[str, Any] = {
        "tags": [route.service],
        "security": SECURITY[route.access],
        **{
            key: operation[key]
            for key in ("summary", "description", "deprecated", "requestBody")
            if operation.get(key) is not None
        },
    }
    if name := operation.get("operationId"):
        made["operationId"] = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{route.service}.{name}")
    if parameters := _parameters(path, operation.get("parameters", [])):
        made["parameters"] = parameters
    own = {str(status): answer for status, answer in operation.get("responses", {}).items()}
    errors = draft.answers({}, reasons(route, settings))
    made = _with_names(made | {"responses": own}, route.service)
    made["responses"] = dict(sorted({**errors, **made["responses"]}.items()))
    return made


def _parameters(path: str, said: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The path's own, as described where they are, and all others that a client may send."""
    known: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in said:
        known.setdefault((one["in"], one["name"]), one)
    found: list[Mapping[str, Any]] = [
        {**known.get(("path", own["name"]), own), "required": True} for own in path_parameters(path)
    ]
    for (where, name), one in known.items():
        if where != "path" and not (where == "header" and name.lower() in NOT_FROM_CLIENTS):
            found.append(one)
    return [one if "schema" in one or "content" in one else {**one, "schema": {}} for one in found]


def _with_names(value: Any, service: str) -> Any:
    """With references to the schemas as they are called among those of all."""
    if isinstance(value, list):
        return [_with_names(one, service) for one in value]
    if isinstance(value, dict):
        return {key: _with_names(one, service) for key, one in value.items()}
    if isinstance(value, str) and value.startswith(SCHEMA_REF):
        return SCHEMA_REF + renamed(service, value.removeprefix(SCHEMA_REF))
    return value


def _add_schemas(draft: Draft, upstream: Mapping[str, UpstreamApi]) -> None:
    """Those that the described operations need, and those that they need."""
    by_name = {
        renamed(service, name): (service, schema)
        for service, api in upstream.items()
        for name, schema in api.schemas.items()
    }
    wanted = [name for name in references(draft.paths) if name in by_name]
    while wanted:
        name = wanted.pop()
        if name in draft.schemas:
            continue
        service, schema = by_name[name]
        draft.schemas[name] = _with_names(schema, service)
        wanted += [one for one in references(draft.schemas[name]) if one in by_name]
