"""The one shape of the gateway's own errors, and the literal table of everything it may refuse.

Rules of this file: texts are fixed. No answer holds raw input, an instance's address or a cause inside the
gateway. `reason` is a closed set: the client's machine-readable cause and our metric label. An instance's
own error answers never come here; they pass through unchanged.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from balancer.model import Failed, Refused, RefusedReason
from balancer.outcome import Kind, Side
from gateway.target import CARRIED, BadTarget
from handlers.answers import ComeBack
from handlers.model import ReportRefused, SeatRefused

Header = tuple[str, str]

COMMON_HEADERS: tuple[Header, ...] = (
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)
"""On every error answer, beside the error's own."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Reason(StrEnum):
    """Why the gateway itself said no."""

    BAD_REQUEST = "bad_request"
    BAD_PATH = "bad_path"
    BAD_HOST = "bad_host"
    BAD_JSON = "bad_json"
    BAD_PARAMETER = "bad_parameter"
    MISSING_PARAMETER = "missing_parameter"
    MISSING_TOKEN = "missing_token"
    INVALID_TOKEN = "invalid_token"
    EXPIRED_TOKEN = "expired_token"
    REVOKED_TOKEN = "revoked_token"
    UID_MISMATCH = "uid_mismatch"
    FORBIDDEN = "forbidden"
    MISSING_ROLE = "missing_role"
    MISSING_SCOPE = "missing_scope"
    UNKNOWN_VERSION = "unknown_version"
    NO_ROUTE = "no_route"
    UNKNOWN_SERVICE = "unknown_service"
    UNKNOWN_INSTANCE = "unknown_instance"
    UNKNOWN_HANDLER = "unknown_handler"
    UNKNOWN_POOL = "unknown_pool"
    UNKNOWN_DECISION = "unknown_decision"
    UNKNOWN_USER = "unknown_user"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNKNOWN_HOST = "unknown_host"
    IDENTITY_UNAVAILABLE = "identity_unavailable"
    LIMITS_UNAVAILABLE = "limits_unavailable"
    BAD_METHOD = "bad_method"
    REQUEST_TIMEOUT = "request_timeout"
    STALE_EPOCH = "stale_epoch"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    BAD_EXPECTATION = "bad_expectation"
    RATE_LIMITED = "rate_limited"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_GARBAGE = "upstream_garbage"
    UPSTREAM_SATURATED = "upstream_saturated"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    NO_INSTANCES = "no_instances"
    NO_HEALTHY_INSTANCE = "no_healthy_instance"
    ALL_TRIED = "all_tried"
    CIRCUIT_OPEN = "circuit_open"
    BUSY = "busy"
    ALLOCATION_UNAVAILABLE = "allocation_unavailable"
    NO_CAPACITY = "no_capacity"
    NO_HANDLERS = "no_handlers"
    COME_BACK = "come_back"
    DRAINING = "draining"
    OVERLOADED = "overloaded"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    NOT_CACHED = "not_cached"
    BAD_VERSION = "bad_version"
    LOOP_DETECTED = "loop_detected"


@dataclass(frozen=True, slots=True)
class GatewayError:
    """An answer of the gateway's own; a value, not an exception."""

    status: int
    error: str
    reason: str
    message: str
    headers: tuple[Header, ...] = ()
    """Beside `COMMON_HEADERS`."""
    more: tuple[tuple[str, str | int], ...] = ()
    """What this kind of answer says in its body beside what all of them say."""


_TYPES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    413: "payload_too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    421: "misdirected_request",
    429: "rate_limited",
    431: "headers_too_large",
    500: "internal_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
    505: "http_version_not_supported",
    508: "loop_detected",
}

_TABLE: Mapping[Reason, tuple[int, str]] = {
    Reason.BAD_REQUEST: (400, "The request is not valid."),
    Reason.BAD_PATH: (400, "The request target is not valid."),
    Reason.BAD_HOST: (400, "The Host header is missing, repeated or not valid."),
    Reason.BAD_JSON: (400, "The request body is not a valid JSON object."),
    Reason.BAD_PARAMETER: (400, "A parameter has a value that is not valid."),
    Reason.MISSING_PARAMETER: (400, "A required parameter is missing."),
    Reason.MISSING_TOKEN: (
        401,
        "A token is required, as `Authorization: Bearer` or as `token` header.",
    ),
    Reason.INVALID_TOKEN: (401, "The token is not valid."),
    Reason.EXPIRED_TOKEN: (401, "The token has expired."),
    Reason.REVOKED_TOKEN: (401, "The token has been revoked."),
    Reason.UID_MISMATCH: (403, "The uid is not the token's user."),
    Reason.FORBIDDEN: (403, "This endpoint is internal."),
    Reason.MISSING_ROLE: (403, "The token's user has none of the roles that this needs."),
    Reason.MISSING_SCOPE: (403, "The token does not have every scope that this needs."),
    Reason.UNKNOWN_VERSION: (404, "There is no such version of this."),
    Reason.NO_ROUTE: (404, "There is nothing at this path."),
    Reason.UNKNOWN_SERVICE: (404, "There is no service of this name."),
    Reason.UNKNOWN_INSTANCE: (404, "The service has no such instance (any more)."),
    Reason.UNKNOWN_HANDLER: (404, "This handler is not known: register it again."),
    Reason.UNKNOWN_POOL: (404, "There is no pool of handlers of this name."),
    Reason.UNKNOWN_DECISION: (404, "This decision is not known (any more)."),
    Reason.UNKNOWN_USER: (404, "This user has no seat."),
    Reason.METHOD_NOT_ALLOWED: (405, "This method is not allowed here."),
    Reason.BAD_METHOD: (405, "This is not a method we know."),
    Reason.REQUEST_TIMEOUT: (408, "The request did not arrive in time."),
    Reason.STALE_EPOCH: (409, "A later process has taken this handler's id."),
    Reason.BODY_TOO_LARGE: (413, "The request body is too large."),
    Reason.URI_TOO_LONG: (414, "The request target is too long."),
    Reason.BAD_EXPECTATION: (417, "The Expect header asks for something we can't do."),
    Reason.UNKNOWN_HOST: (421, "This is not the host that was asked for."),
    Reason.RATE_LIMITED: (429, "Too many requests: wait as long as Retry-After says."),
    Reason.HEADERS_TOO_LARGE: (431, "The request's headers are too large."),
    Reason.INTERNAL_ERROR: (500, "The gateway failed."),
    Reason.UPSTREAM_REFUSED: (502, "The service does not take connections."),
    Reason.UPSTREAM_RESET: (502, "The service broke off the call."),
    Reason.UPSTREAM_GARBAGE: (502, "The service gave an answer that is not HTTP."),
    Reason.UPSTREAM_SATURATED: (503, "The service has more calls than it can take."),
    Reason.REGISTRY_UNREACHABLE: (503, "It is not known yet where the service runs."),
    Reason.NO_INSTANCES: (503, "The service has no instances at the moment."),
    Reason.NO_HEALTHY_INSTANCE: (503, "No instance of the service is healthy at the moment."),
    Reason.ALL_TRIED: (503, "No instance of the service could take the call."),
    Reason.CIRCUIT_OPEN: (503, "The service has failed too often; it is given a rest."),
    Reason.BUSY: (503, "The service has as many calls as it may, and enough are waiting."),
    Reason.ALLOCATION_UNAVAILABLE: (503, "Seats can't be handed out at the moment."),
    Reason.NO_CAPACITY: (503, "All WebSocket handlers are full."),
    Reason.NO_HANDLERS: (503, "No WebSocket handler is available."),
    Reason.COME_BACK: (503, "Too many clients come at once: come back when Retry-After says."),
    Reason.DRAINING: (503, "The gateway is shutting down."),
    Reason.IDENTITY_UNAVAILABLE: (503, "It can't be checked at the moment whose token this is."),
    Reason.LIMITS_UNAVAILABLE: (503, "It can't be counted at the moment how often you call."),
    Reason.OVERLOADED: (503, "The gateway has more requests than it can take."),
    Reason.UPSTREAM_TIMEOUT: (504, "The service did not answer in time."),
    Reason.NOT_CACHED: (504, "No answer is kept here, and only-if-cached wants no other."),
    Reason.BAD_VERSION: (505, "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    Reason.LOOP_DETECTED: (508, "The request has come round to this gateway again."),
}

_NAMED_BY_REASON = frozenset({Reason.UID_MISMATCH, Reason.NO_CAPACITY, Reason.NO_HANDLERS, Reason.COME_BACK})
"""Their `error` is the reason itself: clients tell these apart by it (ALLOCATION 2.2)."""

_CHALLENGES: Mapping[Reason, str] = {
    Reason.MISSING_TOKEN: "Bearer",
    Reason.INVALID_TOKEN: 'Bearer error="invalid_token"',
    Reason.EXPIRED_TOKEN: 'Bearer error="invalid_token"',
    Reason.REVOKED_TOKEN: 'Bearer error="invalid_token"',
    Reason.MISSING_SCOPE: 'Bearer error="insufficient_scope"',
}

_GATEWAYS_PATIENCE = frozenset({Kind.TIMEOUT, Kind.SATURATED})
"""Ends of a call that are the gateway's doing, and no fault in it."""

_UPSTREAM_KINDS: Mapping[Kind, Reason] = {
    Kind.REFUSED: Reason.UPSTREAM_REFUSED,
    Kind.TIMEOUT: Reason.UPSTREAM_TIMEOUT,
    Kind.RESET: Reason.UPSTREAM_RESET,
    Kind.GARBAGE: Reason.UPSTREAM_GARBAGE,
    Kind.CANCELLED: Reason.UPSTREAM_RESET,
    Kind.SATURATED: Reason.UPSTREAM_SATURATED,
}


def gateway_error(
    reason: Reason,
    *,
    message: str | None = None,
    retry_after_s: float | None = None,
    allow: Sequence[str] = (),
    headers: Sequence[Header] = (),
    more: Sequence[tuple[str, str | int]] = (),
) -> GatewayError:
    """The error of that reason. `message` replaces the text of the table: never put raw input in it.

    Every 503 says when to come back, in 1 s unless told otherwise. Every 405 says what is allowed.
    """
    status, text = _TABLE[reason]
    own = list(headers)
    if reason in _CHALLENGES:
        own.append(("WWW-Authenticate", _CHALLENGES[reason]))
    if status == 405:
        own.append(("Allow", ", ".join(allow or CARRIED)))
    if retry_after_s is not None or status == 503:
        own.append(("Retry-After", retry_after(1.0 if retry_after_s is None else retry_after_s)))
    error = reason.value if reason in _NAMED_BY_REASON else _TYPES[status]
    return GatewayError(status, error, reason.value, message or text, tuple(own), tuple(more))


def retry_after(seconds: float) -> str:
    """Whole seconds, rounded up, at least one: coming back too early is refused again."""
    return str(max(1, math.ceil(seconds)))


def from_bad_target(bad: BadTarget) -> GatewayError:
    return gateway_error(Reason(bad.value))


def from_refused(refused: Refused, *, named_by_client: bool = False) -> GatewayError:
    """No instance could be chosen.

    A service that is in no registry is a 404 only where the client named it. A route's service is
    known to us, by the settings: while none of its instances is registered, it is unavailable.
    """
    if refused.reason is RefusedReason.UNKNOWN_SERVICE:
        if named_by_client:
            return gateway_error(Reason.UNKNOWN_SERVICE)
        return gateway_error(Reason.NO_INSTANCES, retry_after_s=refused.retry_after_s)
    return gateway_error(Reason(refused.reason.value), retry_after_s=refused.retry_after_s)


def from_failed(failed: Failed) -> GatewayError:
    """Every try has failed: whose fault the last one was decides the status."""
    kind = failed.outcome.kind
    if failed.outcome.side is Side.CLIENT:
        return gateway_error(Reason.REQUEST_TIMEOUT if kind is Kind.TIMEOUT else Reason.BAD_REQUEST)
    if failed.outcome.side is Side.GATEWAY and kind not in _GATEWAYS_PATIENCE:
        return gateway_error(Reason.INTERNAL_ERROR)
    return gateway_error(_UPSTREAM_KINDS[kind])


def from_seat_refused(refused: SeatRefused) -> GatewayError:
    return gateway_error(Reason(refused.reason.value), retry_after_s=refused.retry_after_s)


def from_come_back(refused: ComeBack) -> GatewayError:
    """With the appointment, where there is one."""
    more: list[tuple[str, str | int]] = []
    if refused.queue_token is not None:
        more.append(("queue_token", refused.queue_token))
    if refused.retry_at_ms is not None:
        more.append(("retry_at_ms", refused.retry_at_ms))
    return gateway_error(Reason.COME_BACK, retry_after_s=refused.retry_after_s, more=more)


def from_report_refused(refused: ReportRefused) -> GatewayError:
    return gateway_error(Reason(refused.reason.value))


def encode(error: GatewayError, request_id: str, now_iso: str) -> bytes:
    """The body. `now_iso` is UTC with a `Z` at its end."""
    return orjson.dumps(
        {
            "error": error.error,
            "message": error.message,
            "reason": error.reason,
            "timestamp": now_iso,
            "request_id": request_id,
            **dict(error.more),
        }
    )


def usable_request_id(value: str) -> bool:
    """Whether a client's `X-Request-Id` may be used as it is: it goes into logs and headers."""
    return _REQUEST_ID.fullmatch(value) is not None
