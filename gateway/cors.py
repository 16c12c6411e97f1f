"""Cross-origin answers: what a browser is told about who may read what (Fetch standard, 3.2).

Rules of this file: an origin is answered only if it is listed, or `*` is; with credentials only if it is
listed (the settings refuse `*` there). Answers that depend on the origin say `Vary: Origin`, also to
requests without one, else a cache would hand one origin's answer to another.
"""

import re
from collections.abc import Sequence

from gateway.settings import CorsSettings
from gateway.target import CARRIED, method_problem

EXPOSED = "X-Request-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"
"""The gateway's own headers that a page may read."""

MAX_ASKED_HEADERS = 1024

Headers = tuple[tuple[str, str], ...]

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


def answer_headers(settings: CorsSettings, origin: str | None) -> Headers:
    """What an actual answer carries for a request with this `Origin` header, or without one."""
    if not settings.origins:
        return ()
    vary = _vary(settings)
    if (allowed := _allowed(settings, origin)) is None:
        return vary
    return (*vary, *allowed, ("Access-Control-Expose-Headers", EXPOSED))


def is_preflight(method: str, origin: str | None, asked_method: str | None) -> bool:
    """Whether a browser asks on its own account what it may send. Other OPTIONS requests are routed."""
    return method == "OPTIONS" and origin is not None and asked_method is not None


def preflight_headers(
    settings: CorsSettings, origin: str | None, asked_method: str | None, asked_headers: str | None
) -> Headers:
    """What a preflight is answered, always with 204: without the allowing headers, the browser refuses."""
    if not settings.origins:
        return ()
    vary = (("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),)
    allowed = _allowed(settings, origin)
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


def _vary(settings: CorsSettings) -> Headers:
    """With `*` every origin gets the same answer."""
    return () if "*" in settings.origins else (("Vary", "Origin"),)


def _allowed(settings: CorsSettings, origin: str | None) -> Headers | None:
    if origin is None:
        return None
    if "*" in settings.origins:
        return (("Access-Control-Allow-Origin", "*"),)
    if origin not in settings.origins:
        return None
    allow = ("Access-Control-Allow-Origin", origin)
    return (allow, ("Access-Control-Allow-Credentials", "true")) if settings.credentials else (allow,)


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
