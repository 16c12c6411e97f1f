"""The whole document: of the settings, and valid by the specification."""

from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pytest

from gateway.openapi import describe
from gateway.openapi_answers import Pong
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.openapi_upstream import UpstreamApi, read_upstream
from gateway.settings import Settings
from tests.gateway.openapi_judge import problems
from tests.gateway.runtime.gateways import settings_of


@dataclass(frozen=True)
class Local:
    path: str
    access: Literal["public", "user", "internal"] = "public"
    methods: tuple[str, ...] = ("GET",)
    limited: bool = False
    operations: tuple[Operation, ...] = ()


PING = Local("/ping", operations=(Operation("Is it there?", {200: Told("It is.", Pong)}),))
SECRET = Local("/secret", "internal", ("GET", "PUT"))
ONE = Operation("One", {200: Told("It.")}, path="/things/{id}", parameters=(Parameter("id", where="path"),))
THINGS = Local("/things/", limited=True, operations=(ONE,))
ROUTES: list[dict[str, Any]] = [
    {"path": "/login", "methods": ["POST"], "service": "auth", "access": "public"},
    {"path": "/things/{name}", "methods": ["PUT"], "service": "auth", "access": "user"},
    {"path": "/inside/*", "service": "auth", "access": "internal"},
]


def settings(**more: Any) -> Settings:
    return settings_of(**{"routes": ROUTES, **more})


def document(
    *, internal: bool, upstream: dict[str, UpstreamApi] | None = None, **more: Any
) -> dict[str, Any]:
    made = describe(settings(**more), [PING, SECRET, THINGS], "7.1", upstream or {}, internal=internal)
    assert problems(made) == []
    return made


def test_endpoints_and_routes_are_one_document() -> None:
    made = document(internal=True)
    assert {path: set(item) for path, item in made["paths"].items()} == {
        "/ping": {"get"},
        "/secret": {"get", "put"},
        "/things/{id}": {"get", "put"},
        "/login": {"post"},
        "/inside/{path}": {"get", "post", "put", "patch", "delete"},
    }
    assert made["info"] == {"title": "Quaymaster", "version": "7.1"}


def test_what_is_internal_is_not_there_for_others() -> None:
    made = document(internal=False)
    assert set(made["paths"]) == {"/ping", "/things/{id}", "/login"}
    assert "internalKey" not in made["components"]["securitySchemes"]


def test_it_is_called_what_the_settings_call_it() -> None:
    made = document(internal=False, docs={"title": "Marketplace", "version": "2.0"})
    assert made["info"] == {"title": "Marketplace", "version": "2.0"}


def test_services_come_first_among_the_tags() -> None:
    names = [tag["name"] for tag in document(internal=True)["tags"]]
    assert names == ["auth", "gateway"]


def test_limits_of_endpoints_are_described_where_there_are_any() -> None:
    assert "429" in document(internal=False)["paths"]["/things/{id}"]["get"]["responses"]
    unlimited = document(internal=False, limits={"per_address": None, "per_user": None})
    assert "429" not in unlimited["paths"]["/things/{id}"]["get"]["responses"]


@pytest.mark.parametrize("internal", [True, False])
def test_what_a_service_says_takes_the_place_of_its_routes(internal: bool) -> None:
    said = {
        "openapi": "3.1.0",
        "paths": {
            "/login": {"post": {"summary": "Log in", "responses": {"200": {"description": "In."}}}},
            "/inside/x": {"get": {"responses": {"200": {"description": "x"}}}},
        },
    }
    made = document(internal=internal, upstream={"auth": read_upstream(orjson.dumps(said))})
    assert made["paths"]["/login"]["post"]["summary"] == "Log in"
    assert ("/inside/x" in made["paths"]) is internal
    assert "/inside/{path}" not in made["paths"]
