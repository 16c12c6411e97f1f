"""Cross-origin answers: what a browser is told about who may read what (Fetch standard, 3.2).

Rules of this file: an origin is answered only if it is listed, lies below one that is listed with `*.`, or
`*` is listed; with credentials never for `*` (the settings refuse that). Answers that depend on the origin
say `Vary: Origin`, also to requests without one, else a cache would hand one origin's answer to another. With
`*` all answers are the same, also those to requests without an origin.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from gateway.settings import CorsSettings
from gateway.target import CARRIED, method_problem

EXPOSED = (
    *("X-Request-Id", "X-Process-Time", "Retry-After", "RateLimit", "RateLimit-Policy"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Policy"),
)
"""The gateway's own headers that a page may read."""

OURS = frozenset(
    {
        *("access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods"),
        *("access-control-allow-headers", "access-control-allow-private-network"),
        *("access-control-expose-headers", "access-control-max-age"),
    }
)
"""What no instance says where the settings decide it."""

MAX_ASKED_HEADERS = 1024
REMEMBERED = 1024
"""Origins."""

Headers = tuple[tuple[str, str], ...]

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_LABELS = re.compile(r"(?:[a-z0-9_-]{1,63}\.){1,32}")


def is_preflight(origin: str | None, asked_method: str | None) -> bool:
    """Whether by this OPTIONS a browser asks on its own account what it may send. Others are routed."""
    return origin is not None and asked_method is not None


class Cors:
    """The settings, made ready: what is said to an origin is made once."""

    def __init__(self, settings: CorsSettings) -> None:
        self._settings = settings
        self._everybody = "*" in settings.origins
        self._listed = frozenset(settings.origins)
        self._below = tuple(_below(origin) for origin in settings.origins if "://*." in origin)
        self._exposed = ("Access-Control-Expose-Headers", ", ".join((*EXPOSED, *settings.expose)))
        self._vary: Headers = () if self._everybody else (("Vary", "Origin"),)
        self.answer_headers = lru_cache(REMEMBERED)(self._answer_headers)
        """What an answer carries for a request with this `Origin` header, or with `None`."""

    def _answer_headers(self, origin: str | None) -> Headers:
        allowed = self._allowed(origin)
        return self._vary if allowed is None else (*self._vary, *allowed, self._exposed)

    def preflight_headers(
        self, origin: str | None, asked_method: str | None, asked_headers: str | None
    ) -> Headers:
        """What a preflight is answered, always with 204: without allowing headers, the browser refuses."""
        vary = (("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),)
        allowed, settings = self._allowed(origin), self._settings
        methods = _methods(settings.methods, asked_method)
        if allowed is None or methods is None:
            return vary
        headers = _header_names(settings.headers, asked_headers)
        return (
            *vary,
            *allowed,
            ("Access-Control-Allow-Methods", methods),
            *((("Access-Control-Allow-Headers", headers),) if headers else ()),
            ("Access-Control-Max-Age", str(settings.max_age_s)),
        )

    def _allowed(self, origin: str | None) -> Headers | None:
        if self._everybody:
            return (("Access-Control-Allow-Origin", "*"),)
        if origin is None or not (origin in self._listed or self._is_below(origin)):
            return None
        allow = ("Access-Control-Allow-Origin", origin)
        if not self._settings.credentials:
            return (allow,)
        return (allow, ("Access-Control-Allow-Credentials", "true"))

    def _is_below(self, origin: str) -> bool:
        """Whether a name below one that is listed asks, written as browsers do: nothing else is echoed."""
        return any(
            origin.startswith(scheme)
            and origin.endswith(authority)
            and _LABELS.fullmatch(origin, len(scheme), len(origin) - len(authority))
            for scheme, authority in self._below
        )


def _below(origin: str) -> tuple[str, str]:
    """`https://*.example.org:8443` -> `https://`, `example.org:8443`."""
    scheme, _, authority = origin.partition("*.")
    return scheme, authority


def _methods(configured: Sequence[str], asked: str | None) -> str | None:
    """The methods that may be used, `None` if the one asked for is not among them or is none at all."""
    if asked is None or method_problem(asked) is not None:
        return None
    if not configured:
        return ", ".join(dict.fromkeys((*CARRIED, asked)))
    return ", ".join(configured) if asked in configured else None


def _header_names(configured: Sequence[str], asked: str | None) -> str:
    """The configured names; without any, those asked for, if they are names at all."""
    if configured:
        return ", ".join(configured)
    return asked if asked and len(asked) <= MAX_ASKED_HEADERS and _NAMES.fullmatch(asked) else ""
