"""What a service says of its own API: an OpenAPI document, read with care.

Rules of this file: instances are believed as far as nothing breaks by it. A document is taken whole or
refused, with a reason. What is taken has only what a description needs (no servers, callbacks, links or
security of its own), refers to nothing but its own schemas, and is written as 3.1 says.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, ValidationError

from gateway.target import path_is_carried

MAX_DEPTH = 64
MAX_OPERATIONS = 2000
MAX_SCHEMAS = 5000
MAX_VALUES = 500_000
"""With what is referred to in every place where it is: a few references can stand for very much."""
MAX_TEXT = 8 * 1024 * 1024
"""Characters, counted in the same way."""
TOO_DEEP = "it is nested too deep, or refers to itself"
TOO_LONG = "it refers to the same text too often"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")

SCHEMA_REF = "#/components/schemas/"
_REF = re.compile(
    r"#/components/(schemas|responses|parameters|requestBodies|headers|examples)/([A-Za-z0-9._-]{1,128})"
)
_NAME = r"^[A-Za-z0-9._-]{1,128}$"
_NOT_OURS = frozenset({"$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"})
"""Words of JSON Schema that mean something only in the document that they come from."""


class BadDocument(Exception):
    """The text says why, without quoting the document."""


@dataclass(frozen=True, slots=True)
class UpstreamApi:
    """What is left of a document. References are to `SCHEMA_REF` and a name of `schemas`."""

    base: str
    """What stands before every path, such as /v1; empty for nothing."""
    paths: Mapping[str, Mapping[str, dict[str, Any]]]
    """Operation Objects by path and method, the method in lower case."""
    schemas: Mapping[str, Any]


class _Object(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class _Reference(_Object):
    ref: Annotated[str, Field(alias="$ref")]


def _kind(value: Any) -> str:
    is_reference = isinstance(value, _Reference) or (isinstance(value, dict) and "$ref" in value)
    return "reference" if is_reference else "object"


_ToElsewhere = Annotated[_Reference, Tag("reference")]
_Schema = dict[str, JsonValue] | bool


class _Example(_Object):
    summary: str | None = None
    description: str | None = None
    value: JsonValue = None


_Examples = dict[str, Annotated[Annotated[_Example, Tag("object")] | _ToElsewhere, Discriminator(_kind)]]


class _Media(_Object):
    schema_: Annotated[_Schema | None, Field(alias="schema")] = None
    example: JsonValue = None
    examples: _Examples | None = None


class _Header(_Object):
    description: str | None = None
    required: bool = False
    deprecated: bool = False
    schema_: Annotated[_Schema | None, Field(alias="schema")] = None
    content: dict[str, _Media] | None = None
    example: JsonValue = None


class _Parameter(_Header):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    in_: Annotated[Literal["query", "header", "path", "cookie"], Field(alias="in")]
    style: str | None = None
    explode: bool | None = None
    examples: _Examples | None = None


class _RequestBody(_Object):
    description: str | None = None
    content: dict[str, _Media]
    required: bool = False


class _Response(_Object):
    description: str
    headers: (
        dict[str, Annotated[Annotated[_Header, Tag("object")] | _ToElsewhere, Discriminator(_kind)]] | None
    ) = None
    content: dict[str, _Media] | None = None


_OrParameter = Annotated[Annotated[_Parameter, Tag("object")] | _ToElsewhere, Discriminator(_kind)]
_OrBody = Annotated[Annotated[_RequestBody, Tag("object")] | _ToElsewhere, Discriminator(_kind)]
_OrResponse = Annotated[Annotated[_Response, Tag("object")] | _ToElsewhere, Discriminator(_kind)]
_Status = Annotated[str, Field(pattern=r"^([1-5][0-9]{2}|[1-5]XX|default)$")]


class _Operation(_Object):
    summary: str | None = None
    description: str | None = None
    operation_id: Annotated[str | None, Field(alias="operationId", max_length=256)] = None
    parameters: list[_OrParameter] = Field(default_factory=list)
    request_body: Annotated[_OrBody | None, Field(alias="requestBody")] = None
    responses: dict[_Status, _OrResponse] = Field(default_factory=dict)
    deprecated: bool = False


class _PathItem(_Object):
    parameters: list[_OrParameter] = Field(default_factory=list)
    get: _Operation | None = None
    put: _Operation | None = None
    post: _Operation | None = None
    delete: _Operation | None = None
    options: _Operation | None = None
    head: _Operation | None = None
    patch: _Operation | None = None


class _Components(_Object):
    schemas: dict[Annotated[str, Field(pattern=_NAME)], _Schema] = Field(default_factory=dict)
    responses: dict[str, _OrResponse] = Field(default_factory=dict)
    parameters: dict[str, _OrParameter] = Field(default_factory=dict)
    request_bodies: Annotated[dict[str, _OrBody], Field(alias="requestBodies")] = Field(default_factory=dict)
    headers: dict[str, Annotated[Annotated[_Header, Tag("object")] | _ToElsewhere, Discriminator(_kind)]] = (
        Field(default_factory=dict)
    )
    examples: _Examples = Field(default_factory=dict)


class _Server(_Object):
    url: str


class _Document(_Object):
    openapi: Annotated[str, Field(pattern=r"^3\.[01](\.[0-9]{1,3})?$")]
    servers: list[_Server] = Field(default_factory=list)
    paths: dict[str, _PathItem] = Field(default_factory=dict)
    components: _Components = _Components()


def read_upstream(text: bytes) -> UpstreamApi:
    """The API of a JSON document. Raises `BadDocument`."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadDocument("it is not JSON") from None
    if not isinstance(raw, dict) or "openapi" not in raw:
        raise BadDocument("it is no OpenAPI document of version 3")
    if _is_deep(raw):
        raise BadDocument(TOO_DEEP)
    try:
        found = _Document.model_validate(raw)
    except ValidationError as error:
        raise BadDocument(f"it is not valid at {_place(error)}") from None
    components = found.components.model_dump(by_alias=True, exclude_unset=True)
    cleaner = _Cleaner(components)
    if len(found.components.schemas) > MAX_SCHEMAS:
        raise BadDocument(f"it has more than {MAX_SCHEMAS} schemas")
    paths: dict[str, dict[str, dict[str, Any]]] = {}
    for path, method, operation in _operations(found):
        paths.setdefault(path, {})[method] = cleaner.cleaned(operation, 0)
    if sum(map(len, paths.values())) > MAX_OPERATIONS:
        raise BadDocument(f"it has more than {MAX_OPERATIONS} operations")
    schemas = {name: cleaner.cleaned(schema, 0) for name, schema in components.get("schemas", {}).items()}
    return UpstreamApi(_base(found), paths, schemas)


def _place(error: ValidationError) -> str:
    """Where it is wrong. What stands there is not for our log."""
    parts = (str(part) for part in error.errors()[0]["loc"] if part not in ("object", "reference"))
    return re.sub(r"[^!-~]", "?", ".".join(parts))[:200] or "its top"


def _is_deep(raw: Any) -> bool:
    level = [raw]
    for _ in range(MAX_DEPTH):
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


def _operations(found: _Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in found.paths.items():
        if not path_is_carried(re.sub(r"\{[^{}/]+\}", "x", path)) or "{" in re.sub(r"\{[^{}/]+\}", "", path):
            raise BadDocument("it has a path that no request can have")
        for method in METHODS:
            operation: _Operation | None = getattr(item, method)
            if operation is not None:
                said = operation.model_dump(by_alias=True, exclude_unset=True)
                shared = item.model_dump(by_alias=True, exclude_unset=True).get("parameters", [])
                said["parameters"] = [*said.get("parameters", []), *shared]
                yield path, method, said


def _base(found: _Document) -> str:
    """The path of the first server: the document's paths stand below it."""
    if not found.servers:
        return ""
    try:
        path = urlsplit(found.servers[0].url).path.rstrip("/")
    except ValueError:
        return ""
    return path if path_is_carried(path or "/") else ""


class _Cleaner:
    """Takes references that are not to schemas for what they mean, and writes schemas of 3.0 as 3.1 does."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components
        self._left = MAX_VALUES
        self._text_left = MAX_TEXT

    def cleaned(self, value: Any, depth: int) -> Any:
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
