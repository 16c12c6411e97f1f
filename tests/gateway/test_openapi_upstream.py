"""What services say of themselves is read with care."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.openapi_upstream import MAX_DEPTH, BadDocument, UpstreamApi, read_upstream, references

OK = {"responses": {"200": {"description": "ok"}}}


def api(paths: dict[str, Any] | None = None, **more: Any) -> UpstreamApi:
    return read_upstream(json.dumps({"openapi": "3.1.0", "paths": paths or {}, **more}).encode())


def schema_of(schema: Any, version: str = "3.0.3") -> Any:
    return api(openapi=version, components={"schemas": {"S": schema}}).schemas["S"]


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
    ("schema", "expected"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 0},
        ),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
        ({"exclusiveMaximum": 9}, {"exclusiveMaximum": 9}),
        (
            {"properties": {"nullable": {"type": "boolean"}}},
            {"properties": {"nullable": {"type": "boolean"}}},
        ),
        ({"$id": "http://x", "type": "null"}, {"type": "null"}),
    ],
)
def test_schemas_are_written_as_3_1_says(schema: Any, expected: Any) -> None:
    assert schema_of(schema) == expected


def test_a_discriminator_may_name_schemas_without_the_rest_of_the_reference() -> None:
    cat = {"type": "object"}
    mapping = {"c": "Cat", "d": "#/components/schemas/Cat"}
    found = api(components={"schemas": {"Cat": cat, "Pet": {"discriminator": {"mapping": mapping}}}})
    assert found.schemas["Pet"]["discriminator"]["mapping"] == dict.fromkeys("cd", "#/components/schemas/Cat")


def test_a_property_that_is_called_mapping_is_no_discriminators() -> None:
    with pytest.raises(BadDocument, match="not among its components"):
        api(components={"schemas": {"A": {"properties": {"mapping": {"$ref": "https://evil.example/x"}}}}})
    schemas = {"string": {}, "A": {"properties": {"mapping": {"type": "string"}}}}
    assert api(components={"schemas": schemas}).schemas["A"] == schemas["A"]


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


@pytest.mark.parametrize("word", ["description", "default"])
def test_a_text_that_would_stand_in_every_operation_is_refused(word: str) -> None:
    schema = {"$ref": "#/components/schemas/B", word: "x" * 100_000}
    bad = {"description": "", "content": {"application/json": {"schema": schema}}}
    get = {"get": {"responses": {"400": {"$ref": "#/components/responses/Bad"}}}}
    with pytest.raises(BadDocument, match="the same text too often"):
        api({f"/{n}": get for n in range(100)}, components={"schemas": {"B": {}}, "responses": {"Bad": bad}})


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
