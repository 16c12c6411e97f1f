"""The part of the settings that says which calls go where: the routes, and those of the chat system.

Rules of this file: as in settings_model.py. A route's checks that need its services are in
settings_checks.py.
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from balancer.model import RetryClass
from gateway.patterns import Pattern, parse_pattern
from gateway.settings_identity import RequireSettings
from gateway.settings_limits import LimitRuleSettings
from gateway.settings_services import ServiceSettings, TimeoutSettings
from gateway.settings_shaping import (
    OURS,
    AnswerShapingSettings,
    RedirectSettings,
    RespondSettings,
    RouteCacheSettings,
    SubsetSettings,
    VersionsSettings,
    header_problem,
)
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
from gateway.target import CARRIED, split_host

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Repeating these changes nothing more than doing them once (RFC 9110, 9.2.2)."""

FOR_SERVICES = (
    *("strip_prefix", "rewrite", "set_headers", "remove_headers", "set_query", "remove_query", "answer"),
    *("subset", "versions", "cache", "retry", "timeouts", "hedge", "max_body_bytes", "revoke_token"),
)
"""Keys that mean nothing where no service is called."""

QueryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~-]{1,128}$")]
QueryValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~:@,/-]{0,512}$")]
"""What needs no escaping, so that it stands in the query as it stands here."""


def redirect_problem(path: str, redirect: RedirectSettings) -> str | None:
    """What is wrong with where a route of that path redirects to; `None` if nothing is."""
    scheme, _, host = redirect.origin.partition("://")
    if redirect.origin and (scheme not in ("http", "https") or split_host(host) is None):
        return "must be a path, or https://host/path"
    new, pattern = parse_pattern(redirect.path), parse_pattern(path)
    if isinstance(new, str):
        return new if redirect.path.startswith("/") else "must be a path, or https://host/path"
    if not isinstance(pattern, Pattern):
        return None
    if unknown := set(new.names) - set(pattern.names):
        return f"uses {', '.join(sorted(unknown))}, which the route's path does not name"
    return "ends in /*, so the route's path must end in /* too" if new.rest and not pattern.rest else None


class RouteSettings(Section):
    path: str
    """Exact, with {name} for a segment, or ending in /* for a prefix."""
    methods: Annotated[tuple[Method, ...], NotEmpty] = CARRIED
    service: Name | None = None
    """Needed, unless the route answers itself: by `respond` or `redirect`."""
    access: Literal["public", "user", "internal"] = "user"
    require: RequireSettings = RequireSettings()
    """What users must have besides a token."""
    revoke_token: bool = False
    """Whether the caller's token is good no more after an answer below 400: for logout."""
    retry: RetryClass | None = None
    """Null: safe for idempotent methods, else unsent."""
    strip_prefix: Text = None
    """What is cut off the path's front before it goes upstream."""
    rewrite: Text = None
    """The path that goes upstream, with the {name}s and /* of `path`."""
    set_headers: dict[Header, SecretStr] = Field(default_factory=dict)
    """Set on the request that goes upstream."""
    remove_headers: tuple[Header, ...] = ()
    """Removed from it before."""
    set_query: dict[QueryName, QueryValue] = Field(default_factory=dict)
    """Parameters of the query that goes upstream; those of the same name are replaced."""
    remove_query: tuple[QueryName, ...] = ()
    answer: AnswerShapingSettings = AnswerShapingSettings()
    respond: RespondSettings | None = None
    """The answer itself; no service is asked."""
    redirect: RedirectSettings | None = None
    subset: SubsetSettings | None = None
    """Only some of the service's instances, or some share of the calls to them."""
    versions: VersionsSettings | None = None
    cache: RouteCacheSettings | None = None
    """Null: no answer is kept."""
    limit: CountOrZero | None = None
    """Requests of one caller per limits.window_s."""
    limits: tuple[LimitRuleSettings, ...] = ()
    """More limits, for this route alone."""
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
        if problem := header_problem(headers, OURS):
            raise ValueError(problem)
        return headers

    @field_validator("remove_headers")
    @classmethod
    def _may_be_removed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        lower = {name.lower() for name in names}
        if ours := lower & OURS:
            raise ValueError(f"{min(ours)} is the gateway's own to set")
        if "idempotency-key" in lower and info.data.get("retry") is RetryClass.KEYED:
            raise ValueError("Idempotency-Key is what retry: keyed relies on: keep it, or set another retry")
        return names

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

    @model_validator(mode="after")
    def _has_one_end(self) -> "RouteSettings":
        ends = [name for name in ("service", "respond", "redirect") if getattr(self, name) is not None]
        if not ends:
            raise ValueError("must name a service, or have respond or redirect")
        if len(ends) > 1:
            raise ValueError(f"can't have {' and '.join(ends)}: one of them ends the call")
        if self.redirect is not None and (problem := redirect_problem(self.path, self.redirect)):
            raise ValueError(f"redirect.to {problem}")
        if self.service is None:
            idle = [name for name in FOR_SERVICES if getattr(self, name) != type(self).default_of(name)]
            if idle:
                raise ValueError(f"{' and '.join(idle)} {'needs' if len(idle) == 1 else 'need'} a service")
        if self.subset is not None and self.versions is not None:
            raise ValueError("can't have subset and versions: give the version a tag")
        needs_user = self.require != RequireSettings() or self.revoke_token
        if needs_user and self.access != "user":
            raise ValueError("require and revoke_token are for access: user")
        if self.access != "user" and any(rule.per == "user" or rule.tiers for rule in self.limits):
            raise ValueError("limits by user or tier are for access: user; other routes read no token")
        if self.cache is not None and not {"GET", "HEAD"} & set(self.methods):
            raise ValueError("cache is for GET and HEAD, and methods has neither")
        return self

    @classmethod
    def default_of(cls, name: str) -> object:
        return cls.model_fields[name].get_default(call_default_factory=True)

    def service_keys(self) -> dict[str, str]:
        """The services that calls may go to, by the keys that name them."""
        named = {} if self.service is None else {"service": self.service}
        for version, where in self.versions.to.items() if self.versions else ():
            if where.service is not None:
                named[f"versions.to.{version}.service"] = where.service
        return named

    def tag_keys(self) -> dict[str, str]:
        """The services of which only instances with a tag are called, by the keys that name the tag."""
        if self.service is None:
            return {}
        tagged = {"subset.tag": self.service} if self.subset else {}
        for version, where in self.versions.to.items() if self.versions else ():
            if where.tag is not None:
                tagged[f"versions.to.{version}.tag"] = where.service or self.service
        return tagged

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
