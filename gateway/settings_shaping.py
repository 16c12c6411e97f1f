"""The part of a route's settings that changes what is sent, answered, kept, or who is asked.

Rules of this file: as in settings_model.py.
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from gateway.settings_types import (
    Header,
    Name,
    Percent,
    SecondsOrZero,
    Section,
    Text,
    header_value_problem,
)

OURS = frozenset(
    {
        *("connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "x-user-id", "x-request-id"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"),
    }
)
"""Headers that carry the message itself, or that instances believe because only the gateway sets them."""

FRAMING = OURS - {"x-user-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"}
"""Of an answer: what carries the message itself, and the request's id."""

WITHOUT_BODY = frozenset({204, 205, 304})
"""Of the statuses that a route may answer with (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""

Tag = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def header_problem(headers: dict[str, SecretStr], ours: frozenset[str]) -> str | None:
    """What is wrong with headers to set; `None` if nothing is."""
    for name, value in headers.items():
        if name.lower() in ours:
            return f"{name} is the gateway's own to set"
        if problem := header_value_problem(value.get_secret_value()):
            return f"the value of {name} {problem}"
    return None


class AnswerShapingSettings(Section):
    """What is changed in an instance's answer on its way to the client."""

    set_headers: dict[Header, SecretStr] = Field(default_factory=dict)
    remove_headers: tuple[Header, ...] = ()

    @field_validator("set_headers")
    @classmethod
    def _may_be_set(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if problem := header_problem(headers, FRAMING):
            raise ValueError(problem)
        return headers

    @field_validator("remove_headers")
    @classmethod
    def _may_be_removed(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.lower() in FRAMING:
                raise ValueError(f"{name} carries the message itself")
        return names


class RespondSettings(Section):
    """An answer that no service is asked for."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: Annotated[str, Field(max_length=1 << 20)] = ""
    content_type: Text = None
    """Null: application/json for a body that begins with { or [, else text/plain; none for no body."""
    headers: dict[Header, SecretStr] = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _may_be_set(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if problem := header_problem(headers, FRAMING | {"content-type"}):
            raise ValueError(problem)
        return headers

    @field_validator("content_type")
    @classmethod
    def _is_a_header_value(cls, content_type: str | None) -> str | None:
        if content_type is not None and (problem := header_value_problem(content_type)):
            raise ValueError(problem)
        return content_type

    @model_validator(mode="after")
    def _may_have_a_body(self) -> "RespondSettings":
        if self.body and self.status in WITHOUT_BODY:
            raise ValueError(f"{self.status} has no body: leave it out, or answer 200")
        return self

    def media_type(self) -> str | None:
        """What goes out as `Content-Type`, if anything."""
        if self.content_type is not None or not self.body:
            return self.content_type
        is_json = self.body.lstrip().startswith(("{", "["))
        return "application/json" if is_json else "text/plain; charset=utf-8"


class RedirectSettings(Section):
    """Elsewhere: with the {name}s and /* of the route's path."""

    to: Annotated[str, Field(min_length=1, max_length=2048)]
    """A path, or https://host/path."""
    status: Literal[301, 302, 303, 307, 308] = 308
    keep_query: bool = True

    @property
    def origin(self) -> str:
        """`https://host`, or empty: then it is the client that knows which host it asked."""
        return self.to.removesuffix(self.path) if "://" in self.to else ""

    @property
    def path(self) -> str:
        _, mark, rest = self.to.partition("://")
        return "/" + rest.partition("/")[2] if mark else self.to


class SubsetSettings(Section):
    """Some of a service's instances: those registered with a tag."""

    tag: Tag
    weight: Percent = 100
    """Percent of the calls that go there; the others go to the instances without the tag."""
    header: Header | None = None
    """A request with this header goes there whatever the weight says…"""
    value: Text = None
    """…if the header has this value; null: any."""
    sticky: bool = True
    """Whether a caller's calls all go to the same side."""

    @field_validator("value")
    @classmethod
    def _of_a_header(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("header") is None:
            raise ValueError("is a header's: name it by `header`")
        return value


class VersionSettings(Section):
    """Where one version of an API is."""

    service: Name | None = None
    """Null: the route's."""
    tag: Tag | None = None
    """Only the instances with this tag."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "VersionSettings":
        if self.service is None and self.tag is None:
            raise ValueError("must name a service, a tag, or both")
        return self


class VersionsSettings(Section):
    """Which version of an API a request wants, by a header."""

    header: Header = "X-API-Version"
    default: Version | None = None
    """For requests without the header; null: the route's own service."""
    to: dict[Version, VersionSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _default_exists(self) -> "VersionsSettings":
        if self.default is not None and self.default not in self.to:
            raise ValueError(f"default is {self.default}, which `to` does not name")
        return self


class RouteCacheSettings(Section):
    """Answers of this route may be kept, as RFC 9111 lets a shared cache do it."""

    ttl_s: SecondsOrZero | None = None
    """How long an answer is fresh that does not say so itself; null: it is not kept."""
    stale_if_error_s: SecondsOrZero = 0
    """How long after that it is still used when no instance gives an answer."""
    vary: tuple[Header, ...] = ()
    """Request headers that make another answer, beside those that the answer's `Vary` names."""
    per_user: bool = True
    """Whether each user has answers of its own, on routes that know their users."""
