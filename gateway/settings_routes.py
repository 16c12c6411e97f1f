"""The part of the settings that says which calls go where: the routes, and those of the chat system.

Rules of this file: as in settings_model.py. A route's checks that need its services are in
settings_checks.py.
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from balancer.model import RetryClass
from gateway.patterns import Pattern, parse_pattern
from gateway.settings_services import ServiceSettings, TimeoutSettings
from gateway.settings_types import (
    Bytes,
    CountOrZero,
    Header,
    Method,
    Name,
    NotEmpty,
    Section,
    Text,
)
from gateway.target import CARRIED

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Repeating these changes nothing more than doing them once (RFC 9110, 9.2.2)."""

OURS = frozenset(
    {
        *("connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "x-user-id", "x-request-id"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"),
    }
)
"""Headers that carry the message itself, or that instances believe because only the gateway sets them."""


class RouteSettings(Section):
    path: str
    """Exact, with {name} for a segment, or ending in /* for a prefix."""
    methods: Annotated[tuple[Method, ...], NotEmpty] = CARRIED
    service: Name
    access: Literal["public", "user", "internal"] = "user"
    retry: RetryClass | None = None
    """Null: safe for idempotent methods, else unsent."""
    strip_prefix: Text = None
    """What is cut off the path's front before it goes upstream."""
    rewrite: Text = None
    """The path that goes upstream, with the {name}s and /* of `path`."""
    set_headers: dict[Header, SecretStr] = Field(default_factory=dict)
    """Set on the request that goes upstream."""
    limit: CountOrZero | None = None
    """Requests of one caller per limits.window_s."""
    timeouts: TimeoutSettings = TimeoutSettings()
    hedge: bool = False
    """Whether a call that is slow for its service goes to a second instance too, where `retry` is safe."""
    max_body_bytes: Bytes | None = None
    """Null: listen.max_body_bytes."""
    pass_host: bool = True
    """Whether the instance sees the client's Host or its own."""

    @field_validator("path")
    @classmethod
    def _is_a_pattern(cls, path: str) -> str:
        if isinstance(problem := parse_pattern(path), str):
            raise ValueError(problem)
        return path

    @field_validator("strip_prefix")
    @classmethod
    def _starts_the_path(cls, prefix: str | None, info: ValidationInfo) -> str | None:
        if prefix is None or "path" not in info.data:
            return prefix
        cut, path = parse_pattern(prefix), parse_pattern(info.data["path"])
        if not isinstance(cut, Pattern) or not cut.exact or cut.shape[-1] == "":
            raise ValueError("must be plain segments without a slash at the end, such as /api")
        if isinstance(path, Pattern) and path.shape[: len(cut.shape)] != cut.shape:
            raise ValueError("must be the first segments of the route's path")
        return prefix

    @field_validator("rewrite")
    @classmethod
    def _can_be_filled(cls, rewrite: str | None, info: ValidationInfo) -> str | None:
        if rewrite is None or "path" not in info.data:
            return rewrite
        if info.data.get("strip_prefix"):
            raise ValueError("can't be combined with strip_prefix: write the whole path here")
        new, path = parse_pattern(rewrite), parse_pattern(info.data["path"])
        if isinstance(new, str):
            raise ValueError(new)
        assert isinstance(path, Pattern), "path is validated before"
        if unknown := set(new.names) - set(path.names):
            raise ValueError(f"uses {', '.join(sorted(unknown))}, which the route's path does not name")
        if new.rest and not path.rest:
            raise ValueError("ends in /*, so the route's path must end in /* too")
        return rewrite

    @field_validator("set_headers")
    @classmethod
    def _may_be_set(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if name.lower() in OURS:
                raise ValueError(f"{name} is the gateway's own to set")
            text = value.get_secret_value()
            if not text.isascii() or not text.isprintable() or text != text.strip():
                raise ValueError(f"the value of {name} must be printable ASCII without spaces at its ends")
        return headers

    @field_validator("hedge")
    @classmethod
    def _may_be_sent_twice(cls, hedge: bool, info: ValidationInfo) -> bool:
        if not hedge or "methods" not in info.data or "retry" not in info.data:
            return hedge
        if RetryClass.SAFE not in {_retry(info.data["retry"], method) for method in info.data["methods"]}:
            raise ValueError(
                "sends calls twice, and none of this route may be: "
                "set retry: safe if they may be repeated, or hedge: false"
            )
        return hedge

    def retry_for(self, method: str) -> RetryClass:
        """The route's retry class, else the one DESIGN 4 gives the method."""
        return _retry(self.retry, method)

    def header_pairs(self) -> list[tuple[bytes, bytes]]:
        """`set_headers` as they go on the wire."""
        return [(n.encode(), value.get_secret_value().encode()) for n, value in self.set_headers.items()]


def _retry(wanted: RetryClass | None, method: str) -> RetryClass:
    return wanted or (RetryClass.SAFE if method in SAFE_METHODS else RetryClass.UNSENT)


CHAT_SERVICES: dict[str, dict[str, object]] = {
    "auth": {"strategy": "least_connections"},
    "matching": {
        "strategy": "round_robin",
        "timeouts": {"connect_s": 1, "first_byte_s": 10, "idle_s": 30, "total_s": 60},
    },
}
CHAT_ROUTES: list[dict[str, object]] = [
    {"path": "/register", "methods": ["POST"], "service": "auth", "access": "public", "retry": "unsent"},
    {"path": "/login", "methods": ["POST"], "service": "auth", "access": "public", "retry": "unsent"},
    {"path": "/token_login", "methods": ["POST"], "service": "auth", "access": "public", "retry": "safe"},
    {"path": "/token_check", "methods": ["GET"], "service": "auth", "access": "public", "retry": "safe"},
    {"path": "/matching", "methods": ["POST"], "service": "matching", "access": "user", "retry": "unsent"},
]


def chat_services() -> dict[str, ServiceSettings]:
    return {name: ServiceSettings.model_validate(service) for name, service in CHAT_SERVICES.items()}


def chat_routes() -> tuple[RouteSettings, ...]:
    return tuple(RouteSettings.model_validate(route) for route in CHAT_ROUTES)
