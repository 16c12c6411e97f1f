"""What services say, under the paths of the routes that lead there."""

import json
from typing import Any

import pytest

from gateway.openapi_document import Draft
from gateway.openapi_merge import Way, describe_upstream
from gateway.openapi_upstream import UpstreamApi, read_upstream
from gateway.settings import RouteSettings
from tests.gateway.openapi_judge import problems
from tests.gateway.runtime.gateways import settings_of

OK = {"responses": {"200": {"description": "ok"}}}


def api(*paths: str, methods: tuple[str, ...] = ("get",), **more: Any) -> UpstreamApi:
    document = {"openapi": "3.1.0", "paths": {path: dict.fromkeys(methods, OK) for path in paths}, **more}
    return read_upstream(json.dumps(document).encode())


def route(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "service": "auth", "access": "public", **more}


def merged(routes: list[dict[str, Any]], said: UpstreamApi) -> dict[str, Any]:
    draft, settings = Draft(), settings_of(routes=routes)
    describe_upstream(draft, settings, settings.routes, {"auth": said})
    made = draft.whole({"info": {"title": "t", "version": "1"}})
    assert problems(made) == []
    return made


@pytest.mark.parametrize(
    ("shaped", "inside", "outside"),
    [
        (route("/a"), "/a", "/a"),
        (route("/a"), "/b", None),
        (route("/a"), "/a/b", None),
        (route("/a/*"), "/a/b/{c}", "/a/b/{c}"),
        (route("/a/*"), "/a", None),
        (route("/*"), "/", "/"),
        (route("/api/*", strip_prefix="/api"), "/items/{id}", "/api/items/{id}"),
        (route("/api/users/*", strip_prefix="/api"), "/users/me", "/api/users/me"),
        (route("/api/users/*", strip_prefix="/api"), "/items", None),
        (route("/api", strip_prefix="/api"), "/", "/api"),
        (route("/users/{id}", rewrite="/v2/people/{id}"), "/v2/people/{person}", "/users/{person}"),
        (route("/users/{id}", rewrite="/v2/people/{id}"), "/v2/people/me", "/users/me"),
        (route("/{shop}/of/{id}", rewrite="/by/{id}"), "/by/{x}", "/{shop}/of/{x}"),
        (route("/new/*", rewrite="/old/*"), "/old/a/{b}", "/new/a/{b}"),
        (route("/fixed", rewrite="/elsewhere"), "/elsewhere", "/fixed"),
    ],
)
def test_the_path_outside_of_a_path_inside(shaped: dict[str, Any], inside: str, outside: str | None) -> None:
    assert Way.of(RouteSettings.model_validate(shaped)).outside(inside) == outside


def test_only_paths_that_a_route_leads_to_are_described() -> None:
    made = merged([route("/api/*", strip_prefix="/api")], api("/items", "/items/{id}"))
    assert set(made["paths"]) == {"/api/items", "/api/items/{id}"}


def test_a_more_specific_route_takes_its_paths_away() -> None:
    routes = [route("/a/*"), route("/a/b", access="internal", rewrite="/other")]
    assert set(merged(routes, api("/a/b", "/a/c"))["paths"]) == {"/a/c"}


def test_only_methods_that_a_route_has_are_described() -> None:
    made = merged([route("/a", methods=["GET"])], api("/a", methods=("get", "delete")))
    assert set(made["paths"]["/a"]) == {"get"}


def test_a_route_for_other_instances_than_the_servers_path_leads_to_nothing() -> None:
    assert merged([route("/a")], api("/a", servers=[{"url": "/v1"}]))["paths"] == {}
    assert set(merged([route("/v1/*")], api("/a", servers=[{"url": "/v1"}]))["paths"]) == {"/v1/a"}


def test_who_may_call_it_is_the_routes_to_say() -> None:
    said = api(components={"securitySchemes": {"theirs": {"type": "http", "scheme": "basic"}}})
    made = merged([route("/a", access="user")], UpstreamApi("", {"/a": {"get": OK}}, said.schemas))
    operation = made["paths"]["/a"]["get"]
    assert operation["security"] == [{"bearer": []}, {"token": []}]
    assert {"200", "401", "502"} <= operation["responses"].keys()
    assert "theirs" not in made["components"]["securitySchemes"]


def test_names_of_schemas_are_the_services_own_and_those_that_nobody_needs_stay_behind() -> None:
    ref = {"$ref": "#/components/schemas/Ship"}
    schemas = {
        "Ship": {"properties": {"next": ref, "crew": {"$ref": "#/components/schemas/Crew"}}},
        "Crew": {"type": "array"},
        "Secret": {"type": "object"},
    }
    answer = {"200": {"description": "", "content": {"application/json": {"schema": ref}}}}
    document = {
        "openapi": "3.1.0",
        "paths": {"/a": {"get": {"operationId": "read ship", "responses": answer}}},
        "components": {"schemas": schemas},
    }
    made = merged([route("/a"), route("/b", rewrite="/a")], read_upstream(json.dumps(document).encode()))
    assert {name for name in made["components"]["schemas"] if name.startswith("auth")} == {
        "auth.Ship",
        "auth.Crew",
    }
    assert made["paths"]["/a"]["get"]["operationId"] == "auth.read_ship"
    assert made["paths"]["/b"]["get"]["operationId"] == "auth.read_ship_2"
    assert "default" not in made["paths"]["/a"]["get"]["responses"]


def test_parameters_are_those_of_the_path_outside_and_what_a_client_may_send() -> None:
    parameters = [
        {"name": "person", "in": "path", "description": "who", "schema": {"type": "integer"}},
        {"name": "gone", "in": "path"},
        {"name": "X-User-Id", "in": "header"},
        {"name": "q", "in": "query"},
    ]
    said = UpstreamApi("", {"/people/{person}": {"get": OK | {"parameters": parameters}}}, {})
    made = merged([route("/{shop}/{id}", rewrite="/people/{id}")], said)
    found = made["paths"]["/{shop}/{person}"]["get"]["parameters"]
    assert [(one["name"], one["in"]) for one in found] == [
        ("shop", "path"),
        ("person", "path"),
        ("q", "query"),
    ]
    assert found[1]["schema"] == {"type": "integer"}
