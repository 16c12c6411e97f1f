"""Which of the gateway's own errors an operation may answer with, for its description.

Rules of this file: every reason that a caller can meet is named, each status once.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from gateway.errors import Reason, gateway_error

Access = Literal["public", "user", "internal"]

ANY = (
    *(Reason.BAD_REQUEST, Reason.BAD_PATH, Reason.BAD_HOST),
    *(Reason.URI_TOO_LONG, Reason.HEADERS_TOO_LARGE, Reason.INTERNAL_ERROR, Reason.OVERLOADED),
)
"""Whatever is asked."""
WITH_A_BODY = (Reason.BAD_JSON, Reason.BAD_PARAMETER, Reason.BODY_TOO_LARGE, Reason.REQUEST_TIMEOUT)
LIMITED = (Reason.RATE_LIMITED,)
OF: Mapping[Access, tuple[Reason, ...]] = {
    "public": (),
    "user": (
        *(Reason.MISSING_TOKEN, Reason.INVALID_TOKEN, Reason.EXPIRED_TOKEN, Reason.REVOKED_TOKEN),
        *(Reason.UID_MISMATCH, Reason.IDENTITY_UNAVAILABLE),
    ),
    "internal": (Reason.FORBIDDEN,),
}
CARRIED = (
    *(Reason.BODY_TOO_LARGE, Reason.REQUEST_TIMEOUT, Reason.BAD_EXPECTATION, Reason.BAD_PARAMETER),
    *(Reason.UPSTREAM_REFUSED, Reason.UPSTREAM_RESET, Reason.UPSTREAM_GARBAGE, Reason.UPSTREAM_TIMEOUT),
    *(Reason.UPSTREAM_SATURATED, Reason.NO_INSTANCES, Reason.NO_HEALTHY_INSTANCE, Reason.ALL_TRIED),
    *(Reason.REGISTRY_UNREACHABLE, Reason.CIRCUIT_OPEN, Reason.BUSY, Reason.LOOP_DETECTED),
)
"""Where an instance is called."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to come with a token."},
    429: {"Retry-After": "Seconds."},
    503: {"Retry-After": "Seconds."},
}


def by_status(reasons: Iterable[Reason]) -> dict[int, list[Reason]]:
    """The reasons by their statuses, both in order, each once."""
    found: dict[int, list[Reason]] = {}
    for reason in dict.fromkeys(reasons):
        found.setdefault(gateway_error(reason).status, []).append(reason)
    return dict(sorted(found.items()))


def error_answer(status: int, reasons: Iterable[Reason]) -> dict[str, Any]:
    """The Response Object of that status."""
    lines = [f"`{reason.value}`: {gateway_error(reason).message}" for reason in reasons]
    answer: dict[str, Any] = {
        "description": "\n\n".join(lines),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if headers := _HEADERS.get(status):
        answer["headers"] = headers_of(headers)
    return answer


def headers_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """Header Objects of names and what they say."""
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
