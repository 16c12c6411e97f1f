"""What is answered to what nobody looks at."""

import json
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import pytest

from gateway.request_ids import RequestIds
from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import Metrics
from gateway.runtime.refusals import Refusals
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


def test_who_is_turned_away_keeps_the_connection_and_has_an_id_of_its_own() -> None:
    made, metrics = refusals()
    (status, headers, first), (_, _, second) = read(made.turned_away()), read(made.turned_away())
    assert (status, first["reason"], "Connection" in headers) == (503, "overloaded", False)
    assert first["request_id"] != second["request_id"]
    assert {**first, "request_id": ""} == {**second, "request_id": ""}
    counted = samples(metrics.exposition(LiveState(now=0.0)))
    assert counted['quaymaster_errors_total{reason="overloaded"}'] == 2
