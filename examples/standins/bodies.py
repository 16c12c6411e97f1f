"""What a request's JSON object must hold: names with the kind of their values.

Rules of this file: plain functions. Every problem is found at once and names its field.
"""

from collections.abc import Mapping
from typing import Any

Kinds = Mapping[str, type]
"""`str`, `int`, `float`, `bool`, `list` or `dict` by field."""

LONGEST_TEXT = 4000
MOST_ELEMENTS = 100
WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def problems_of(body: Mapping[str, object], wanted: Kinds, optional: Kinds) -> dict[str, str]:
    """What is wrong with a body, by field; fields that nobody asked for are ignored."""
    missing = {field: "is missing" for field in wanted if body.get(field) is None}
    kinds = {**wanted, **optional}
    found = {
        field: _problem(body[field], kind) for field, kind in kinds.items() if body.get(field) is not None
    }
    return missing | {field: problem for field, problem in found.items() if problem}


def _problem(value: object, kind: type) -> str:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return ""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return f"must be {WORDS[kind]}"
    if isinstance(value, str) and not 1 <= len(value) <= LONGEST_TEXT:
        return f"must have 1 to {LONGEST_TEXT} characters"
    if isinstance(value, list | dict) and len(value) > MOST_ELEMENTS:
        return f"must have at most {MOST_ELEMENTS} elements"
    return ""


def taken(body: Mapping[str, Any], wanted: Kinds, optional: Kinds) -> dict[str, Any]:
    """The fields that were asked for; those that are optional and were not given are left out."""
    return {field: body[field] for field in {**wanted, **optional} if body.get(field) is not None}
