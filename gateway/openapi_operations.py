"""What an operation of the API is, in the words of whoever answers it: the input of `/openapi.json`.

Rules of this file: an endpoint says here what is its own. What any request may get (a malformed one, one too
many, one without a token) is added by openapi.py, by the access that the endpoint asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel

from gateway.errors import Reason

Schema = Mapping[str, object]

TEXT: Schema = MappingProxyType({"type": "string"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of the query, the headers or the path."""

    name: str
    text: str = ""
    where: Literal["query", "header", "path"] = "query"
    required: bool = False
    schema: Schema = field(default_factory=lambda: TEXT)


@dataclass(frozen=True, slots=True)
class Told:
    """One answer that is no error."""

    text: str
    body: type[BaseModel] | None = None
    """Its JSON; `None`: see `media`."""
    media: str | None = None
    """The media type of a body that is no JSON of ours; `None` with no `body` either: there is no body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What they say, by their names."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path."""

    summary: str
    answers: Mapping[int, Told]
    """By status. Without the errors."""
    method: str = "GET"
    path: str | None = None
    """With `{name}` for a segment; `None`: the endpoint's own."""
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    takes: type[BaseModel] | None = None
    """The JSON of the request's body."""
    errors: tuple[Reason, ...] = ()
    """Beside those that any request of that access may get."""
    tag: str = "gateway"
