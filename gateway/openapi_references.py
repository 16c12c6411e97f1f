"""References within an OpenAPI document of a service, and its schemas, as our own document can have them.

Rules of this file: what is referred to is written out where it is, but for schemas, which keep their names.
What that comes to is bounded in depth, in values and in text. Schemas of 3.0 are written as 3.1 says.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 500_000
"""With what is referred to in every place where it is: a few references can stand for very much."""
MAX_TEXT = 8 * 1024 * 1024
"""Characters, counted in the same way."""
TOO_DEEP = "it is nested too deep, or refers to itself"
TOO_LONG = "it refers to the same text too often"

SCHEMA_REF = "#/components/schemas/"
_REF = re.compile(
    r"#/components/(schemas|responses|parameters|requestBodies|headers|examples)/([A-Za-z0-9._-]{1,128})"
)
_NOT_OURS = frozenset({"$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"})
"""Words of JSON Schema that mean something only in the document that they come from."""


class BadDocument(Exception):
    """The text says why, without quoting the document."""


class Cleaner:
    """For one document with these components. Raises `BadDocument` for what grows without bounds."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components
        self._left = MAX_VALUES
        self._text_left = MAX_TEXT

    def cleaned(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise BadDocument(TOO_DEEP)
        if isinstance(value, str):
            self._text_left -= len(value)
        elif isinstance(value, dict):
            self._text_left -= sum(map(len, value))
        if self._text_left < 0:
            raise BadDocument(TOO_LONG)
        if isinstance(value, list):
            return [self.cleaned(one, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        ref = value.get("$ref")
        if isinstance(ref, str):
            return self._referred(ref, value, depth)
        made = {
            key: self._discriminator(one, depth) if key == "discriminator" else self.cleaned(one, depth + 1)
            for key, one in value.items()
            if key not in _NOT_OURS
        }
        return _as_3_1(made)

    def _referred(self, ref: str, value: Mapping[str, Any], depth: int) -> Any:
        found = _REF.fullmatch(ref)
        if found is None or found[2] not in self._components.get(found[1], {}):
            raise BadDocument("it refers to something that is not among its components")
        if found[1] == "schemas":
            beside = ("description", "summary", "default")
            rest = {key: self.cleaned(one, depth + 1) for key, one in value.items() if key in beside}
            return {"$ref": ref, **rest}
        return self.cleaned(self._components[found[1]][found[2]], depth + 1)

    def _discriminator(self, value: Any, depth: int) -> Any:
        """In its mapping names of schemas may stand without the rest of the reference."""
        made = self.cleaned(value, depth + 1)
        mapping = made.get("mapping") if isinstance(made, dict) else None
        if isinstance(mapping, dict):
            known = self._components.get("schemas", {})
            made["mapping"] = {
                key: SCHEMA_REF + one if isinstance(one, str) and one in known else one
                for key, one in mapping.items()
            }
        return made


def _as_3_1(schema: dict[str, Any]) -> dict[str, Any]:
    """`nullable` and exclusive bounds that are true or false are 3.0's."""
    if schema.get("nullable") is True:
        del schema["nullable"]
        if isinstance(kind := schema.get("type"), str):
            schema["type"] = [kind, "null"]
        if isinstance(allowed := schema.get("enum"), list) and None not in allowed:
            schema["enum"] = [*allowed, None]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    return schema


def references(value: Any) -> Iterator[str]:
    """The names of the schemas that are referred to, nested ones not followed."""
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, str):
                if key == "$ref" or one.startswith(SCHEMA_REF):
                    yield one.removeprefix(SCHEMA_REF)
            else:
                yield from references(one)
