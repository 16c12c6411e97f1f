"""Beside our own series, which they must agree with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.circuit import State
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.service import ServiceState
from gateway.runtime.live_state import LiveState
from gateway.runtime.metrics import Metrics
from gateway.service_views import ServiceView
from registry.model import Instance, InstanceId, ServiceName, Status, snapshot
from tests.gateway.runtime.scrapes import samples, samples_of

AUTH = ServiceName("auth")
INSTANCE = Instance(InstanceId("a"), AUTH, "10.0.0.1", 80, "10.0.0.1")
REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
NOTHING = LiveState(now=0.0)
VIEW = ServiceView(snapshot(AUTH, Status.KNOWN), active={})

ROUTES, METHODS, STATUSES = (
    st.sampled_from(["/a", "/b"]),
    st.sampled_from(["GET", "PUT"]),
    st.sampled_from([200, 503]),
)


@given(st.lists(st.tuples(ROUTES, METHODS, STATUSES, st.floats(0, 40))))
def test_requests_are_counted_as_under_our_own_names(asked: list[tuple[str, str, int, float]]) -> None:
    metrics = Metrics("1.0")
    for route, method, status, seconds in asked:
        metrics.answered(route, method, status, seconds)
    found = samples(metrics.exposition(NOTHING))
    for route, method, status, _ in asked:
        theirs = f'gateway_requests_total{{endpoint="{route}",method="{method}",status="{status}"}}'
        ours = f'quaymaster_requests_total{{code="{status}",method="{method}",route="{route}"}}'
        assert found[theirs] == found[ours]
        took = [seconds for r, m, _, seconds in asked if (r, m) == (route, method)]
        labels = f'{{endpoint="{route}",method="{method}"}}'
        assert found[f"gateway_request_duration_seconds_count{labels}"] == len(took)
        assert found[f"gateway_request_duration_seconds_sum{labels}"] == pytest.approx(sum(took))
        in_time = f'gateway_request_duration_seconds_bucket{{endpoint="{route}",le="1.0",method="{method}"}}'
        assert found[in_time] == sum(seconds <= 1 for seconds in took)


def test_calls_are_counted_by_status_whatever_their_outcome() -> None:
    metrics = Metrics("1.0")
    broken = Outcome(Phase.BODY, Side.INSTANCE, Kind.RESET, sent=True)
    metrics.tried(AUTH, INSTANCE, SUCCESS, 200, 0.1)
    metrics.tried(AUTH, INSTANCE, broken, 200, 0.1)
    metrics.tried(AUTH, INSTANCE, REFUSED, None, 0.1)
    found = samples(metrics.exposition(NOTHING))
    assert found['gateway_service_calls_total{service="auth",status="200"}'] == 2
    assert found['gateway_service_calls_total{service="auth",status="none"}'] == 1


def test_connections_are_those_of_clients() -> None:
    assert samples_of(replace(NOTHING, client_connections=7))["gateway_active_connections"] == 7


@pytest.mark.parametrize(
    ("state", "number"), [(State.CLOSED, 0), (State.HALF_OPEN, 1), (State.OPEN, 2), (None, 0)]
)
def test_a_circuit_is_a_number_and_closed_before_the_first_call(state: State | None, number: int) -> None:
    calls = None if state is None else ServiceState(AUTH, state, 0, 0, None, 0)
    found = samples_of(replace(NOTHING, services=[replace(VIEW, calls=calls)]))
    assert found['gateway_circuit_breaker_state{service="auth"}'] == number
