"""What is answered to what nobody looks at."""

import json
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest

from gateway.request_ids import RequestIds
from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import Metrics
from gateway.runtime.refusals import MAX_REPEATED, Refusals
from gateway.runtime.reply import json_reply
from tests.gateway.runtime.gateways import NoConnection, exchange_for, unsent_request
from tests.gateway.runtime.scrapes import samples


def refusals(now: float = 1_700_000_000.0) -> tuple[Refusals, Metrics]:
    metrics = Metrics("test")
    return Refusals(RequestIds("0123456789abcdef"), metrics, lambda: now, lambda: now), metrics


class _Bytes:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._data)


def read(data: bytes) -> tuple[int, dict[str, str], Any]:
    answer = HTTPResponse(_Bytes(data))  # type: ignore[arg-type]  # only `makefile` is used
    answer.begin()
    with answer:
        return answer.status, dict(answer.getheaders()), json.loads(answer.read())


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("request_timeout", 408),
        ("uri_too_long", 414),
        ("headers_too_large", 431),
        ("bad_request", 400),
        ("bad_method", 405),
        ("bad_version", 505),
        ("overloaded", 503),
    ],
)
def test_bytes_that_are_no_request_get_the_one_shape_and_the_end(reason: str, status: int) -> None:
    got, headers, body = read(refusals()[0].refuse(reason))
    assert (got, body["reason"], headers["Connection"]) == (status, reason, "close")
    assert list(body) == ["error", "message", "reason", "timestamp", "request_id"]
    assert body["request_id"] == headers["X-Request-Id"]
    assert headers["Cache-Control"] == "no-store"


def refused(now: float, for_s: float, **sent: str) -> tuple[Refusals, Metrics, NoConnection]:
    """A request that was refused by a limit at that time, for so long."""
    made, metrics = refusals(now)
    request = unsent_request("GET", "/x", **sent)
    exchange = exchange_for(request, request_id="0" * 32, refused_by="address", refused_for_s=for_s)
    made.prepare(exchange, json_reply({"request_id": exchange.request_id}, status=429))
    connection = request._connection
    assert isinstance(connection, NoConnection)
    return made, metrics, connection


def test_a_refusal_is_made_ready_until_the_second_is_over_or_something_has_changed() -> None:
    for for_s, until in ((30.0, 1001.0), (0.25, 1000.5)):
        _, _, connection = refused(1000.25, for_s, Host="a", User_Agent="x")
        assert connection.repeat is not None
        assert connection.repeat.request == b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n"
        assert connection.repeat.until == until


def test_each_time_it_has_an_id_of_its_own_and_is_counted() -> None:
    _, metrics, connection = refused(1000.0, 30.0, Host="a")
    assert connection.repeat is not None
    answers = [read(connection.repeat.again()) for _ in range(3)]
    assert len({body["request_id"] for _, _, body in answers}) == 3
    assert all(headers["X-Request-Id"] == body["request_id"] for _, headers, body in answers)
    counted = samples(metrics.exposition(LiveState(now=0.0)))
    assert counted['quaymaster_rate_limited_total{rule="address"}'] == 3
    assert counted['quaymaster_errors_total{reason="rate_limited"}'] == 3


@pytest.mark.parametrize(
    "sent",
    [
        {"Host": "a", "Expect": "100-continue"},
        {"Host": "a", "Upgrade": "websocket"},
        {"Host": "a", "X": "x" * MAX_REPEATED},
    ],
    ids=["expects", "upgrades", "long"],
)
def test_nothing_is_made_ready_for_what_may_mean_more_than_its_head(sent: dict[str, str]) -> None:
    _, _, connection = refused(1000.0, 30.0, **sent)
    assert connection.repeat is None


def test_who_is_turned_away_keeps_the_connection_and_has_an_id_of_its_own() -> None:
    made, metrics = refusals()
    (status, headers, first), (_, _, second) = read(made.turned_away()), read(made.turned_away())
    assert (status, first["reason"], "Connection" in headers) == (503, "overloaded", False)
    assert first["request_id"] != second["request_id"]
    assert {**first, "request_id": ""} == {**second, "request_id": ""}
    counted = samples(metrics.exposition(LiveState(now=0.0)))
    assert counted['quaymaster_errors_total{reason="overloaded"}'] == 2
