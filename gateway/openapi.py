"""`/openapi.json`: one description of everything that can be called here, made of what routes requests.

Rules of this file: the endpoints and the routes are those of the settings in force, so nothing is described
that is not there. What is internal is described to internal callers only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.errors import Reason
from gateway.openapi_document import SECURITY, Draft, parameter
from gateway.openapi_errors import OF, WITH_A_BODY, Access
from gateway.openapi_merge import describe_upstream
from gateway.openapi_operations import Operation, Told
from gateway.openapi_routes import anywhere, describe_route, limited
from gateway.openapi_upstream import UpstreamApi
from gateway.settings import Settings

TAGS: Mapping[str, str] = {
    "chat": "What chat clients ask of the gateway itself.",
    "peers": "What microservices ask: where their peers are.",
    "health": "Is it well?",
    "handlers": "What WebSocket handlers and their operators say.",
    "gateway": "The rest of the gateway's own.",
}


class DescribedEndpoint(Protocol):
    """What of an endpoint matters here."""

    @property
    def path(self) -> str: ...
    @property
    def methods(self) -> tuple[str, ...]: ...
    @property
    def access(self) -> Access: ...
    @property
    def limited(self) -> bool: ...
    @property
    def operations(self) -> tuple[Operation, ...]: ...


def describe(
    settings: Settings,
    endpoints: Sequence[DescribedEndpoint],
    version: str,
    upstream: Mapping[str, UpstreamApi],
    *,
    internal: bool,
) -> dict[str, Any]:
    """The document. `upstream` is what services say of themselves; `version` is the gateway's own."""
    draft, shown = Draft(), [endpoint for endpoint in endpoints if internal or endpoint.access != "internal"]
    for endpoint in shown:
        _describe_endpoint(draft, endpoint, settings)
    taken = frozenset(endpoint.path for endpoint in endpoints)
    routes = [r for r in settings.routes if r.path not in taken and (internal or r.access != "internal")]
    told = describe_upstream(draft, settings, routes, upstream)
    for route in routes:
        if route.path not in told:
            describe_route(draft, route, settings)
    used = {tag for item in draft.paths.values() for op in item.values() for tag in op["tags"]}
    return draft.whole(
        {
            "info": {"title": settings.docs.title, "version": settings.docs.version or version},
            # Relative to where this document is, for the gateway does not know behind which prefix it is.
            "servers": [{"url": ".", "description": "This gateway"}],
            "tags": [
                *({"name": name} for name in settings.services if name in used),
                *({"name": name, "description": text} for name, text in TAGS.items() if name in used),
            ],
        }
    )


def _describe_endpoint(draft: Draft, endpoint: DescribedEndpoint, settings: Settings) -> None:
    operations = endpoint.operations or tuple(_unsaid(method) for method in endpoint.methods)
    for said in operations:
        operation: dict[str, Any] = {
            "tags": [said.tag],
            "summary": said.summary,
            "security": SECURITY[endpoint.access],
        }
        if said.text:
            operation["description"] = said.text
        if said.parameters:
            operation["parameters"] = [parameter(one) for one in said.parameters]
        if said.takes is not None:
            operation["requestBody"] = {"required": True, "content": draft.body(said.takes)}
        operation["responses"] = draft.answers(said.answers, _reasons(endpoint, said, settings))
        draft.add(said.path or endpoint.path, said.method, operation)


def _reasons(endpoint: DescribedEndpoint, said: Operation, settings: Settings) -> Iterable[Reason]:
    yield from anywhere(settings)
    yield from OF[endpoint.access]
    if endpoint.limited:
        yield from limited(settings.limits)
    if said.takes is not None:
        yield from WITH_A_BODY
    yield from said.errors


def _unsaid(method: str) -> Operation:
    """Of an endpoint that describes nothing."""
    return Operation("Of the gateway itself", {200: Told("Done.")}, method)
