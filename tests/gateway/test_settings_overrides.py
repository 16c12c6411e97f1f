"""Which key an override reaches, and what its value is."""

from typing import Any

import pytest

from gateway.settings_document import Document
from gateway.settings_overrides import apply, from_environment, from_option, scalar


def changed(data: dict[str, Any], name: str, value: str = "new") -> dict[str, Any] | list[str]:
    """The data after one override, or the problems."""
    document = Document(data=data)
    in_environment = name.startswith("QUAYMASTER__")
    apply(document, from_environment(name, value) if in_environment else from_option(name, value))
    return [str(problem) for problem in document.problems] or document.data


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        ({}, "QUAYMASTER__LISTEN__PORT", {"listen": {"port": "new"}}),
        ({"a": {"My-Api": {}}}, "QUAYMASTER__A__MY_API__X", {"a": {"My-Api": {"x": "new"}}}),
        ({"a": {"my.api": {}}}, "QUAYMASTER__A__MY_API__X", {"a": {"my.api": {"x": "new"}}}),
        ({"a": None}, "QUAYMASTER__A__B", {"a": {"b": "new"}}),
        ({"a": [{"b": 1}, {"b": 1}]}, "QUAYMASTER__A__1__B", {"a": [{"b": 1}, {"b": "new"}]}),
        ({"a": [1, 2]}, "a[1]", {"a": [1, "new"]}),
        ({"a": [1, 2]}, "a.0", {"a": ["new", 2]}),
        ({"a": {"my.api": {}}}, "a.my.api.x", {"a": {"my.api": {"x": "new"}}}),
        ({"a": {"b": {}, "b_c": 1}}, "a.b.c", {"a": {"b": {"c": "new"}, "b_c": 1}}),
        ({"a": {}}, "a.NewName", {"a": {"NewName": "new"}}),
        ({"a": {"x-y": 1}}, "a.x_y", {"a": {"x-y": 1, "x_y": "new"}}),
        ({"a": {"X": 1}}, "a.x", {"a": {"X": "new"}}),
        ({"a": {"X": 1, "x": 1}}, "a.x", {"a": {"X": 1, "x": "new"}}),
    ],
)
def test_the_key_that_is_reached(data: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    assert changed(data, name) == expected


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        ({"a": [1]}, "a[1]", "a: has no element 1: it is a list of 1 (set by --set a[1])"),
        ({"a": [1]}, "a.x", "a: has no element x: it is a list of 1 (set by --set a.x)"),
        ({"a": [1]}, f"a.{'9' * 5000}", "a: has no element"),
        ({"a": [1]}, "a.²", "a: has no element ²"),
        ({"a": 1}, "a.b", "a: is a single value and holds no b (set by --set a.b)"),
        ({}, "a..b", "a: a part of the name is empty (set by --set a..b)"),
        ({}, "", "--set : a part of the name is empty"),
        ({}, "QUAYMASTER__", "QUAYMASTER__: a part of the name is empty"),
        ({"a": {"x-y": 1, "x.y": 1}}, "QUAYMASTER__A__X_Y", "a: X_Y may be x-y or x.y: use --set"),
    ],
)
def test_a_key_that_cant_be_reached(data: dict[str, Any], name: str, problem: str) -> None:
    (found,) = changed(data, name)
    assert found.startswith(problem)


def test_a_value_that_is_no_yaml_is_not_quoted() -> None:
    (found,) = changed({}, "identity.secret", "[canary")
    assert found.startswith("identity.secret: not valid YAML")
    assert "canary" not in found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9000", "9000"),
        ("007", "007"),
        ("1.50", "1.50"),
        (" 9000 ", "9000"),
        ('"9000"', "9000"),
        ("true", True),
        ("null", None),
        ("", ""),
        ("  ", ""),
        ("text with spaces", "text with spaces"),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("${NAME:-x}", "${NAME:-x}"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("2026-11-21", "2026-11-21"),
    ],
)
def test_values(text: str, value: object) -> None:
    assert scalar(text) == value
