"""What a document refers to stands where it was referred to, as far as that is within bounds."""

from typing import Any

import pytest

from gateway.openapi_references import BadDocument, Cleaner, references

S = "#/components/schemas/"


def cleaned(value: Any, **components: Any) -> Any:
    return Cleaner(components).cleaned(value)


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
    assert cleaned(schema) == expected


def test_a_discriminator_may_name_schemas_without_the_rest_of_the_reference() -> None:
    mapping = {"c": "Cat", "d": S + "Cat", "e": "elsewhere"}
    made = cleaned({"discriminator": {"mapping": mapping}}, schemas={"Cat": {}})
    assert made["discriminator"]["mapping"] == {"c": S + "Cat", "d": S + "Cat", "e": "elsewhere"}


def test_a_property_that_is_called_mapping_is_no_discriminators() -> None:
    schema = {"properties": {"mapping": {"type": "string"}}}
    assert cleaned(schema, schemas={"string": {}}) == schema


@pytest.mark.parametrize("word", ["properties", "discriminator"])
def test_no_reference_leads_out_of_the_document(word: str) -> None:
    with pytest.raises(BadDocument, match="not among its components"):
        cleaned({word: {"mapping": {"$ref": "https://elsewhere.example/x"}}}, schemas={"x": {}})


def test_what_stands_for_very_much_is_refused() -> None:
    twice = {n: {"anyOf": [{"$ref": f"#/components/headers/{n + 1}"}] * 2} for n in range(20)}
    with pytest.raises(BadDocument, match="nested too deep"):
        cleaned(
            {"$ref": "#/components/headers/0"},
            headers={f"{n}": each for n, each in twice.items()} | {"20": {}},
        )


@pytest.mark.parametrize("word", ["description", "default"])
def test_a_text_that_would_stand_in_very_many_places_is_refused(word: str) -> None:
    bad = {"schema": {"$ref": S + "A", word: "x" * 100_000}}
    with pytest.raises(BadDocument, match="the same text too often"):
        cleaned([{"$ref": "#/components/headers/Bad"}] * 100, schemas={"A": {}}, headers={"Bad": bad})


def test_which_schemas_are_referred_to() -> None:
    value = [{"$ref": S + "A"}, {"mapping": {"b": S + "B"}}, {"c": [{"d": {"$ref": S + "C"}}]}, S]
    assert list(references(value)) == ["A", "B", "C"]
