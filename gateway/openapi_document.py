"""An OpenAPI document in the making: paths, and what they share.

Rules of this file: the specification's own. Two templates of one shape (`/a/{x}`, `/a/{y}`) are one path, so
what comes later takes the names of what was first; and what is said of a method first holds.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.errors import Reason
from gateway.openapi_answers import Error
from gateway.openapi_errors import Access, by_status, error_answer, headers_of
from gateway.openapi_operations import Parameter, Told

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""What a path item may have; other methods can't be described."""
NAME = re.compile(r"\{([^{}/]+)\}")
REF = "#/components/schemas/{model}"

SECURITY: Mapping[Access, list[dict[str, list[str]]]] = {
    "public": [],
    "user": [{"bearer": []}, {"token": []}],
    # Whoever calls from one of the internal networks needs no key.
    "internal": [{"internalKey": []}, {}],
}
SCHEMES: Mapping[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token that a login has given."},
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "token",
        "description": "The same token, for clients that send it so. A `uid` header or parameter, where "
        "there is one, must be the token's user.",
    },
    "internalKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Internal-Key",
        "description": "Not needed from the internal networks.",
    },
}


@dataclass(slots=True)
class Draft:
    """What has been described so far."""

    paths: dict[str, dict[str, Any]] = field(default_factory=dict)
    schemas: dict[str, Any] = field(default_factory=dict)
    """Of components, beside those of the models."""
    _shapes: dict[str, str] = field(default_factory=dict)
    _responses: dict[str, dict[str, Any]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    """Of responses, by what they say."""
    _models: dict[str, type[BaseModel]] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def has(self, path: str, method: str) -> bool:
        """Whether that is described already, under whatever names."""
        known = self._shapes.get(shape(path))
        return known is not None and method.lower() in self.paths[known]

    def add(self, path: str, method: str, operation: Mapping[str, Any]) -> None:
        """Describes one method, unless it is described already or can't be."""
        method = method.lower()
        if method not in METHODS or self.has(path, method):
            return
        known = self._shapes.setdefault(shape(path), path)
        made = dict(operation)
        if known != path:
            renamed = dict(zip(NAME.findall(path), NAME.findall(known), strict=True))
            made["parameters"] = [_renamed(each, renamed) for each in made.get("parameters", [])]
        wanted = made.pop("operationId", None) or f"{method}{re.sub('[^A-Za-z0-9]+', '_', known)}".rstrip("_")
        self.paths.setdefault(known, {})[method] = {"operationId": self._unused(wanted), **made}

    def _unused(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._ids:
            number += 1
            name = f"{wanted}_{number}"
        self._ids.add(name)
        return name

    def answers(self, told: Mapping[int, Told], reasons: Iterable[Reason]) -> dict[str, Any]:
        """What may be answered, by status: what the operation tells, and the errors of these reasons."""
        found = {status: self._told(one) for status, one in told.items()}
        for status, of_status in by_status(reasons).items():
            error = error_answer(status, of_status)
            if status not in found:
                found[status] = self._shared(status, error)
            else:
                found[status] = _either(found[status], error)
        return {str(status): found[status] for status in sorted(found)}

    def _told(self, told: Told) -> dict[str, Any]:
        answer: dict[str, Any] = {"description": told.text}
        if told.headers:
            answer["headers"] = headers_of(told.headers)
        if told.body is not None:
            answer["content"] = self.body(told.body)
        elif told.media is not None:
            text = not told.media.endswith("json")
            answer["content"] = {told.media: {"schema": {"type": "string"} if text else {}}}
        return answer

    def _shared(self, status: int, answer: dict[str, Any]) -> dict[str, Any]:
        text = f"{status} {answer['description']}"
        name = self._names.get(text)
        if name is None:
            same = sum(known.startswith(f"{status} ") for known in self._names)
            name = self._names[text] = f"Error{status}" if not same else f"Error{status}-{same + 1}"
            self._responses[name] = answer
        return {"$ref": f"#/components/responses/{name}"}

    def body(self, model: type[BaseModel]) -> dict[str, Any]:
        """A reference to the schema of that model, as the content of a body."""
        self._models[model.__name__] = model
        return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}

    def whole(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The document, with `about` at its top."""
        models: list[type[BaseModel]] = [*self._models.values(), Error]
        _, own = models_json_schema([(model, "validation") for model in models], ref_template=REF)
        used = {name for item in self.paths.values() for op in item.values() for name in _schemes(op)}
        return {
            "openapi": "3.1.0",
            **about,
            "paths": self.paths,
            "components": {
                "schemas": {**own.get("$defs", {}), **self.schemas},
                "responses": self._responses,
                "securitySchemes": {name: SCHEMES[name] for name in SCHEMES if name in used},
            },
        }


def shape(path: str) -> str:
    """Equal for templates that are one path."""
    return NAME.sub("{}", path)


def path_parameters(path: str) -> list[dict[str, Any]]:
    """One for each name of the template."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in NAME.findall(path)
    ]


def parameter(said: Parameter) -> dict[str, Any]:
    """The Parameter Object."""
    made: dict[str, Any] = {"name": said.name, "in": said.where, "schema": dict(said.schema)}
    if said.text:
        made["description"] = said.text
    if said.required or said.where == "path":
        made["required"] = True
    return made


def _either(told: Mapping[str, Any], error: Mapping[str, Any]) -> dict[str, Any]:
    """One answer that is sometimes what was told and sometimes an error, which have the same status."""
    media = "application/json"
    schemas = [one["content"][media]["schema"] for one in (told, error) if media in one.get("content", {})]
    return {
        "description": f"{told['description']}\n\n{error['description']}",
        "headers": {**told.get("headers", {}), **error.get("headers", {})},
        "content": {**told.get("content", {}), media: {"schema": {"anyOf": schemas}}},
    }


def _renamed(said: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    is_path = said.get("in") == "path"
    return {**said, "name": names.get(said["name"], said["name"])} if is_path else said


def _schemes(operation: Mapping[str, Any]) -> Iterable[str]:
    return (name for way in operation.get("security", ()) for name in way)
