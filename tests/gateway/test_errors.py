"""The one shape of the gateway's own errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.model import Failed, Refused, RefusedReason
from balancer.outcome import Kind, Outcome, Phase, Side
from gateway.errors import (
    COMMON_HEADERS,
    Reason,
    encode,
    from_bad_target,
    from_come_back,
    from_failed,
    from_refused,
    from_report_refused,
    from_seat_refused,
    gateway_error,
    retry_after,
    usable_request_id,
)
from gateway.target import BadTarget
from handlers.answers import ComeBack
from handlers.model import ReportRefusal, ReportRefused, SeatRefusal, SeatRefused


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_status_a_type_and_a_text(reason: Reason) -> None:
    error = gateway_error(reason)
    assert 400 <= error.status < 600
    assert error.error
    assert error.message.endswith(".")
    assert error.reason == reason
    names = [name for name, _ in error.headers]
    assert ("Retry-After" in names) is (error.status == 503)
    assert ("Allow" in names) is (error.status == 405)
    assert ("WWW-Authenticate" in names) is (error.status == 401 or reason is Reason.MISSING_SCOPE)


@pytest.mark.parametrize(
    ("reason", "status", "error"),
    [
        (Reason.BAD_PATH, 400, "bad_request"),
        (Reason.INVALID_TOKEN, 401, "unauthorized"),
        (Reason.UID_MISMATCH, 403, "uid_mismatch"),
        (Reason.FORBIDDEN, 403, "forbidden"),
        (Reason.NO_ROUTE, 404, "not_found"),
        (Reason.UNKNOWN_SERVICE, 404, "not_found"),
        (Reason.METHOD_NOT_ALLOWED, 405, "method_not_allowed"),
        (Reason.BODY_TOO_LARGE, 413, "payload_too_large"),
        (Reason.RATE_LIMITED, 429, "rate_limited"),
        (Reason.INTERNAL_ERROR, 500, "internal_error"),
        (Reason.UPSTREAM_RESET, 502, "bad_gateway"),
        (Reason.NO_HEALTHY_INSTANCE, 503, "service_unavailable"),
        (Reason.NO_CAPACITY, 503, "no_capacity"),
        (Reason.NO_HANDLERS, 503, "no_handlers"),
        (Reason.UPSTREAM_TIMEOUT, 504, "gateway_timeout"),
        (Reason.NOT_CACHED, 504, "gateway_timeout"),
    ],
)
def test_the_contract(reason: Reason, status: int, error: str) -> None:
    found = gateway_error(reason)
    assert (found.status, found.error) == (status, error)


def test_the_body_has_five_fields() -> None:
    body = json.loads(encode(gateway_error(Reason.NO_ROUTE), "r-1", "2026-11-21T10:00:00Z"))
    assert body == {
        "error": "not_found",
        "message": "There is nothing at this path.",
        "reason": "no_route",
        "timestamp": "2026-11-21T10:00:00Z",
        "request_id": "r-1",
    }
    assert ("X-Content-Type-Options", "nosniff") in COMMON_HEADERS


def test_an_appointment_stands_beside_the_five() -> None:
    error = from_come_back(ComeBack(2.5, "token", 1_790_000_000_000))
    assert (error.status, error.error, error.reason) == (503, "come_back", "come_back")
    assert ("Retry-After", "3") in error.headers
    body = json.loads(encode(error, "r-1", "2026-11-21T10:00:00Z"))
    assert body["queue_token"] == "token"
    assert body["retry_at_ms"] == 1_790_000_000_000
    assert len(body) == 7


def test_without_an_appointment_there_is_nothing_to_show() -> None:
    error = from_come_back(ComeBack(40.0, None, None))
    assert ("Retry-After", "40") in error.headers
    assert len(json.loads(encode(error, "r-1", "2026-11-21T10:00:00Z"))) == 5


def test_what_a_caller_may_add() -> None:
    error = gateway_error(
        Reason.MISSING_PARAMETER, message="The parameter service_name is missing.", headers=[("X-A", "1")]
    )
    assert error.message == "The parameter service_name is missing."
    assert error.headers == (("X-A", "1"),)
    assert ("Allow", "GET, HEAD") in gateway_error(Reason.METHOD_NOT_ALLOWED, allow=["GET", "HEAD"]).headers
    assert ("Retry-After", "8") in gateway_error(Reason.RATE_LIMITED, retry_after_s=7.2).headers


@pytest.mark.parametrize(("seconds", "value"), [(0, "1"), (-3, "1"), (0.01, "1"), (1, "1"), (1.01, "2")])
def test_retry_after_is_whole_seconds_that_are_long_enough(seconds: float, value: str) -> None:
    assert retry_after(seconds) == value


def test_a_bad_token_is_challenged() -> None:
    for reason in (Reason.INVALID_TOKEN, Reason.EXPIRED_TOKEN):
        assert gateway_error(reason).headers == (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
    assert gateway_error(Reason.MISSING_TOKEN).headers == (("WWW-Authenticate", "Bearer"),)


@pytest.mark.parametrize("bad", BadTarget)
def test_every_bad_target_has_an_error(bad: BadTarget) -> None:
    expected = {"bad_path": 400, "bad_host": 400, "bad_version": 505}
    assert from_bad_target(bad).status == expected.get(bad, 405)


@pytest.mark.parametrize("reason", RefusedReason)
def test_no_instance_is_a_503_that_says_when_to_come_back(reason: RefusedReason) -> None:
    error = from_refused(Refused(reason, retry_after_s=2.5))
    assert error.status == 503
    assert ("Retry-After", "3") in error.headers


def test_an_unknown_service_is_a_404_where_the_client_named_it() -> None:
    refused = Refused(RefusedReason.UNKNOWN_SERVICE)
    assert from_refused(refused, named_by_client=True).reason == Reason.UNKNOWN_SERVICE
    assert from_refused(refused).reason == Reason.NO_INSTANCES


@pytest.mark.parametrize(
    ("side", "kind", "status", "reason"),
    [
        (Side.INSTANCE, Kind.REFUSED, 502, Reason.UPSTREAM_REFUSED),
        (Side.INSTANCE, Kind.RESET, 502, Reason.UPSTREAM_RESET),
        (Side.INSTANCE, Kind.GARBAGE, 502, Reason.UPSTREAM_GARBAGE),
        (Side.INSTANCE, Kind.TIMEOUT, 504, Reason.UPSTREAM_TIMEOUT),
        (Side.GATEWAY, Kind.TIMEOUT, 504, Reason.UPSTREAM_TIMEOUT),
        (Side.GATEWAY, Kind.SATURATED, 503, Reason.UPSTREAM_SATURATED),
        (Side.GATEWAY, Kind.RESET, 500, Reason.INTERNAL_ERROR),
        (Side.CLIENT, Kind.TIMEOUT, 408, Reason.REQUEST_TIMEOUT),
        (Side.CLIENT, Kind.RESET, 400, Reason.BAD_REQUEST),
    ],
)
def test_a_failed_call(side: Side, kind: Kind, status: int, reason: Reason) -> None:
    error = from_failed(Failed(Outcome(Phase.WAIT, side, kind, sent=True, detail="10.0.0.1:80"), 3))
    assert (error.status, error.reason) == (status, reason)
    assert "10.0.0.1" not in str(error)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OK])
def test_every_failure_has_an_error(side: Side, kind: Kind) -> None:
    assert from_failed(Failed(Outcome(Phase.SEND, side, kind, sent=True), 1)).status >= 400


@pytest.mark.parametrize("reason", SeatRefusal)
def test_a_seat_refused_is_named_by_its_reason(reason: SeatRefusal) -> None:
    error = from_seat_refused(SeatRefused(reason, 4.0))
    assert error.error == error.reason == reason
    assert error.status == (429 if reason is SeatRefusal.RATE_LIMITED else 503)
    assert ("Retry-After", "4") in error.headers


def test_a_report_refused() -> None:
    statuses = {reason: from_report_refused(ReportRefused(reason)).status for reason in ReportRefusal}
    assert statuses == {ReportRefusal.UNKNOWN_HANDLER: 404, ReportRefusal.STALE_EPOCH: 409}


@pytest.mark.parametrize("value", ["a", "A-b_c.9", "x" * 128])
def test_request_ids_that_are_kept(value: str) -> None:
    assert usable_request_id(value)


@pytest.mark.parametrize("value", ["", "x" * 129, "a b", "a\n", "a\r\nX: y", "é", "a;b", "\udc80"])
def test_request_ids_that_are_not(value: str) -> None:
    assert not usable_request_id(value)


@given(st.text())
def test_a_kept_request_id_is_safe_in_a_header(value: str) -> None:
    if usable_request_id(value):
        assert value.isascii()
        assert value.isprintable()
