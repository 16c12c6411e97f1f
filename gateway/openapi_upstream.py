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

from gateway.openapi_references import MAX_DEPTH, TOO_DEEP, BadDocument, Cleaner
from gateway.target import path_is_carried

MAX_OPERATIONS = 2000
TOO_MANY = f"it has more than {MAX_OPERATIONS} operations"
MAX_SCHEMAS = 5000
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")

_NAME = r"^[A-Za-z0-9._-]{1,128}$"


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


class _ToExample(_Reference):
    ref: Annotated[str, Field(alias="$ref", pattern="^#/components/examples/")]


class _ToHeader(_Reference):
    ref: Annotated[str, Field(alias="$ref", pattern="^#/components/headers/")]


class _ToParameter(_Reference):
    ref: Annotated[str, Field(alias="$ref", pattern="^#/components/parameters/")]


class _ToBody(_Reference):
    ref: Annotated[str, Field(alias="$ref", pattern="^#/components/requestBodies/")]


class _ToResponse(_Reference):
    ref: Annotated[str, Field(alias="$ref", pattern="^#/components/responses/")]


def _kind(value: Any) -> str:
    is_reference = isinstance(value, _Reference) or (isinstance(value, dict) and "$ref" in value)
    return "reference" if is_reference else "object"


_Schema = dict[str, JsonValue] | bool


class _Example(_Object):
    summary: str | None = None
    description: str | None = None
    value: JsonValue = None


_Examples = dict[
    str,
    Annotated[
        Annotated[_Example, Tag("object")] | Annotated[_ToExample, Tag("reference")], Discriminator(_kind)
    ],
]


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


_OrHeader = Annotated[
    Annotated[_Header, Tag("object")] | Annotated[_ToHeader, Tag("reference")], Discriminator(_kind)
]


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
    headers: dict[str, _OrHeader] | None = None
    content: dict[str, _Media] | None = None


_OrParameter = Annotated[
    Annotated[_Parameter, Tag("object")] | Annotated[_ToParameter, Tag("reference")], Discriminator(_kind)
]
_OrBody = Annotated[
    Annotated[_RequestBody, Tag("object")] | Annotated[_ToBody, Tag("reference")], Discriminator(_kind)
]
_OrResponse = Annotated[
    Annotated[_Response, Tag("object")] | Annotated[_ToResponse, Tag("reference")], Discriminator(_kind)
]
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
    headers: dict[str, _OrHeader] = Field(default_factory=dict)
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
    if isinstance(raw.get("paths"), dict) and len(raw["paths"]) > MAX_OPERATIONS:
        raise BadDocument(TOO_MANY)
    if _is_deep(raw):
        raise BadDocument(TOO_DEEP)
    try:
        found = _Document.model_validate(raw)
    except ValidationError as error:
        raise BadDocument(f"it is not valid at {_place(error)}") from None
    components = found.components.model_dump(by_alias=True, exclude_unset=True)
    cleaner = Cleaner(components)
    if len(found.components.schemas) > MAX_SCHEMAS:
        raise BadDocument(f"it has more than {MAX_SCHEMAS} schemas")
    paths: dict[str, dict[str, dict[str, Any]]] = {}
    for number, (path, method, operation) in enumerate(_operations(found)):
        if number == MAX_OPERATIONS:
            raise BadDocument(TOO_MANY)
        paths.setdefault(path, {})[method] = cleaner.cleaned(operation)
    schemas = {name: cleaner.cleaned(schema) for name, schema in components.get("schemas", {}).items()}
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
        shared = item.model_dump(include={"parameters"}, by_alias=True, exclude_unset=True).get(
            "parameters", []
        )
        for method in METHODS:
            operation: _Operation | None = getattr(item, method)
            if operation is not None:
                said = operation.model_dump(by_alias=True, exclude_unset=True)
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
