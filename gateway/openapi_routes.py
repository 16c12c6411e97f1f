"""The routes of the settings as operations: where they lead, who may call them, what the gateway answers.

Rules of this file: what an instance answers is its own business, so it is the `default` there. HEAD is left
out where GET is, and OPTIONS where there is anything else: a description has no use for them.
"""

from collections.abc import Iterator
from typing import Any

from gateway.errors import Reason
from gateway.openapi_document import NAME, SECURITY, Draft, path_parameters
from gateway.openapi_errors import ANY, CARRIED, LIMITED, OF
from gateway.openapi_operations import Told
from gateway.settings import LimitsSettings, RouteSettings, Settings

REST = "path"
"""What stands for `/*`, unless the route names something so."""


def template(route: RouteSettings) -> str:
    """The route's path as OpenAPI writes it."""
    if not route.path.endswith("/*"):
        return route.path
    taken, rest = NAME.findall(route.path), REST
    while rest in taken:
        rest += "_"
    return f"{route.path.removesuffix('*')}{{{rest}}}"


def methods(route: RouteSettings) -> Iterator[str]:
    """Those that are described, in the order of the settings."""
    for method in route.methods:
        implied = method == "HEAD" and "GET" in route.methods
        if not implied and (method != "OPTIONS" or len(route.methods) == 1):
            yield method


def reasons(route: RouteSettings, settings: Settings) -> tuple[Reason, ...]:
    """Why the gateway may refuse a call of this route."""
    found = [*anywhere(settings), *OF[route.access]]
    if route.require.roles:
        found.append(Reason.MISSING_ROLE)
    if route.require.scopes:
        found.append(Reason.MISSING_SCOPE)
    found += limited(settings.limits, always=route.limit is not None or bool(route.limits))
    if route.service is not None:
        found += CARRIED
    if route.versions is not None:
        found.append(Reason.UNKNOWN_VERSION)
    if route.cache is not None:
        found.append(Reason.NOT_CACHED)
    if route.cache is not None:
        found.append(Reason.NOT_CACHED)
    return tuple(found)


def anywhere(settings: Settings) -> tuple[Reason, ...]:
    """How anybody may be refused, whatever is asked for."""
    return (*ANY, Reason.UNKNOWN_HOST) if settings.listen.allowed_hosts else ANY


def limited(limits: LimitsSettings, *, always: bool = False) -> tuple[Reason, ...]:
    """How a caller is refused that comes too often; nothing where nobody is counted."""
    general = (limits.per_address, limits.per_user, *limits.tiers.values())
    if not always and not limits.rules and all(limit is None for limit in general):
        return ()
    return (*LIMITED, Reason.LIMITS_UNAVAILABLE) if limits.fail_mode == "closed" else LIMITED


def describe_route(draft: Draft, route: RouteSettings, settings: Settings) -> None:
    """Adds what is not described yet."""
    path = template(route)
    parameters = [*path_parameters(path), *_version(route)]
    for method in methods(route):
        if draft.has(path, method):
            continue
        operation: dict[str, Any] = {
            "tags": [route.service or "gateway"],
            "summary": _summary(route),
            "security": SECURITY[route.access],
            "responses": {**draft.answers(_told(route), reasons(route, settings)), **_instances(route)},
        }
        if parameters:
            operation["parameters"] = parameters
        if text := _text(route):
            operation["description"] = text
        if route.service is not None and method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            operation["requestBody"] = {"content": {"*/*": {"schema": {}}}}
        draft.add(path, method, operation)


def _summary(route: RouteSettings) -> str:
    if route.redirect is not None:
        return "Elsewhere"
    return "Answered by the gateway" if route.service is None else f"Carried to {route.service}"


def _text(route: RouteSettings) -> str:
    needs = []
    if route.require.roles:
        needs.append(f"Needs one of the roles {', '.join(route.require.roles)}.")
    if route.require.scopes:
        needs.append(f"Needs the scopes {', '.join(route.require.scopes)}.")
    return " ".join(needs)


def _version(route: RouteSettings) -> list[dict[str, Any]]:
    if route.versions is None:
        return []
    schema: dict[str, Any] = {"type": "string", "enum": list(route.versions.to)}
    if route.versions.default is not None:
        schema["default"] = route.versions.default
    return [{"name": route.versions.header, "in": "header", "schema": schema}]


def _told(route: RouteSettings) -> dict[int, Told]:
    if route.redirect is not None:
        return {route.redirect.status: Told("It is elsewhere.", headers={"Location": "Where."})}
    if route.respond is None:
        return {}
    said = route.respond
    media = said.content_type or ("application/json" if said.body.startswith(("{", "[")) else "text/plain")
    return {said.status: Told("Always the same.", media=media.partition(";")[0] if said.body else None)}


def _instances(route: RouteSettings) -> dict[str, Any]:
    return {} if route.service is None else {"default": {"description": "What an instance answers."}}
