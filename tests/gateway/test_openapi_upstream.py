"""What services say of themselves is read with care."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.openapi_references import MAX_DEPTH, BadDocument, references
from gateway.openapi_upstream import UpstreamApi, read_upstream

OK = {"responses": {"200": {"description": "ok"}}}


def api(paths: dict[str, Any] | None = None, **more: Any) -> UpstreamApi:
    return read_upstream(json.dumps({"openapi": "3.1.0", "paths": paths or {}, **more}).encode())


def test_only_what_a_description_needs_is_taken() -> None:
    operation = OK | {
        "summary": "s",
        "operationId": "o",
        "security": [{"theirs": []}],
        "servers": [{"url": "http://10.0.0.1"}],
        "callbacks": {"c": {}},
        "x-internal": 1,
        "responses": {"200": {"description": "ok", "links": {"l": {}}}},
    }
    found = api({"/a": {"get": operation, "summary": "x", "servers": []}})
    assert found.paths == {
        "/a": {"get": {"summary": "s", "operationId": "o", "parameters": [], **OK}},
    }


def test_parameters_of_the_path_are_each_operations() -> None:
    shared, own = {"name": "id", "in": "path"}, {"name": "q", "in": "query"}
    found = api({"/a/{id}": {"parameters": [shared], "get": OK | {"parameters": [own]}}})
    assert found.paths["/a/{id}"]["get"]["parameters"] == [own, shared]


def test_references_are_taken_for_what_they_mean_but_those_to_schemas() -> None:
    components = {
        "schemas": {"Ship": {"type": "object"}},
        "responses": {
            "Found": {"description": "It.", "headers": {"X-A": {"$ref": "#/components/headers/A"}}}
        },
        "headers": {"A": {"schema": {"$ref": "#/components/schemas/Ship"}}},
    }
    ref = {"$ref": "#/components/responses/Found"}
    found = api({"/a": {"get": {"responses": {"200": ref}}}}, components=components)
    assert found.paths["/a"]["get"]["responses"]["200"] == {
        "description": "It.",
        "headers": {"X-A": {"schema": {"$ref": "#/components/schemas/Ship"}}},
    }
    assert list(references(found.paths)) == ["Ship"]


@pytest.mark.parametrize(
    ("servers", "base"),
    [
        ([], ""),
        ([{"url": "/"}], ""),
        ([{"url": "/v1/"}, {"url": "/v2"}], "/v1"),
        ([{"url": "https://api.example.org/v1"}], "/v1"),
        ([{"url": "//[bad"}], ""),
        ([{"url": "/../x"}], ""),
    ],
)
def test_the_path_of_the_first_server_stands_before_every_path(servers: list[Any], base: str) -> None:
    assert api(servers=servers).base == base


def nested(depth: int) -> Any:
    return {"not": nested(depth - 1)} if depth else {}


def to_itself(kind: str) -> dict[str, Any]:
    twice = [{"$ref": f"#/components/{kind}/A"}] * 2
    return {kind: {"A": {"description": "", "content": {"a/b": {"schema": {"anyOf": twice}}}}}}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"openapi: 3.1.0",
        b"[]",
        b'{"swagger": "2.0", "paths": {}}',
        b'{"openapi": "4.0.0", "paths": {}}',
        b'{"openapi": "3.1.0", "paths": []}',
        b'{"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"200": {}}}}}}',
        b'{"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"2000": {"description": ""}}}}}}',
        b'{"openapi": "3.1.0", "paths": {"/../a": {"get": {"responses": {}}}}}',
        b'{"openapi": "3.1.0", "paths": {"/a{": {"get": {"responses": {}}}}}',
        b'{"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [{"name": "x"}]}}}}',
        b'{"openapi": "3.1.0", "components": {"schemas": {"A": {"$ref": "http://x/y"}}}}',
        b'{"openapi": "3.1.0", "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}}}}',
        b'{"openapi": "3.1.0", "components": {"schemas": {"A": 5}}}',
        b'{"openapi": "3.1.0", "components": {"schemas": {"a b": {}}}}',
        json.dumps({"openapi": "3.1.0", "components": {"schemas": {"A": nested(MAX_DEPTH)}}}).encode(),
        json.dumps(
            {
                "openapi": "3.1.0",
                "paths": {"/a": {"get": {"responses": {"200": {"$ref": "#/components/responses/A"}}}}},
                "components": to_itself("responses"),
            }
        ).encode(),
        json.dumps({"openapi": "3.1.0", "paths": {f"/{n}": {"get": OK} for n in range(2001)}}).encode(),
    ],
)
def test_what_can_not_be_used_is_refused_whole_and_not_quoted(text: bytes) -> None:
    with pytest.raises(BadDocument) as refused:
        read_upstream(text)
    assert str(refused.value).startswith("it ")


@pytest.mark.parametrize("to", ["schemas/A", "parameters/B", "examples/A"])
@pytest.mark.parametrize(
    "operation",
    [
        lambda ref: {"parameters": [ref]},
        lambda ref: {"requestBody": ref},
        lambda ref: {"responses": {"200": ref}},
        lambda ref: {"responses": {"200": {"description": "", "headers": {"X": ref}}}},
    ],
)
def test_what_is_referred_to_must_be_what_belongs_there(operation: Any, to: str) -> None:
    components = {"schemas": {"A": {}}, "parameters": {}, "examples": {"A": {"value": 1}}}
    with pytest.raises(BadDocument):
        api({"/a": {"get": operation({"$ref": f"#/components/{to}"})}}, components=components)


def test_where_it_is_wrong_is_said_in_plain_letters() -> None:
    with pytest.raises(BadDocument, match=r"not valid at paths\./\?\?x\.get\.responses\.200\.description"):
        api({"/\x1b\nx": {"get": {"responses": {"200": {}}}}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["paths", "components", "servers", "info"]), JSON))
@settings(max_examples=60)
def test_anything_is_read_or_refused(rest: dict[str, Any]) -> None:
    try:
        read_upstream(json.dumps({"openapi": "3.1.0", **rest}).encode())
    except BadDocument:
        pass
