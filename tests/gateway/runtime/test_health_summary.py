"""The summary is read from what is known, and kept for a moment."""

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from balancer.circuit import ORDINARY, CircuitLedger
from balancer.model import PoolLimits
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.policy import CircuitPolicy
from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.runtime.health_summary import KEPT_S, HealthSummary, summary_of
from gateway.runtime.probing import Probing
from registry.model import Failed as Unanswered
from registry.model import Instance, InstanceId, Seen, ServiceName
from registry.runtime.watcher import Watcher
from tests.balancer.origins import until
from tests.gateway.runtime.gateways import settings_of
from tests.registry.told_watch import ToldWatch

AUTH = ServiceName("auth")
REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
REGISTRY: dict[str, Any] = {"registry": {"backend": "consul"}, "services": {"auth": {}}, "routes": []}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> ToldWatch:
    return ToldWatch()


@pytest.fixture
async def summary(told: ToldWatch, clock: Clock) -> AsyncIterator[HealthSummary]:
    watcher = Watcher(told, clock=clock, rng=Random(7), tend_every_s=0.01)
    watcher.pin(AUTH)
    async with (
        watcher,
        PooledUpstream(lambda _: PoolLimits(), watcher.current) as upstream,
        Probing(rng=Random(7)) as probing,
    ):
        balancer = Balancer(watcher.current, upstream, policies={}, rng=Random(7), clock=clock)
        made = summary_of(settings_of(**REGISTRY), watcher, balancer, probing, "7.0")
        made.clock = clock
        yield made


def said(summary: HealthSummary, **standing: bool) -> tuple[int, dict[str, Any]]:
    reply = summary.reply(**{"draining": False, **standing})
    return reply.status, json.loads(reply.body)


async def answers(told: ToldWatch, summary: HealthSummary) -> None:
    told.name("auth")
    told.say(AUTH, Seen((Instance(InstanceId("a"), AUTH, "127.0.0.1", 9, "127.0.0.1"),)))
    await until(lambda: summary.watcher.ready)


async def test_before_the_registry_has_answered_nothing_can_be_served(summary: HealthSummary) -> None:
    status, body = said(summary)
    assert (status, body["status"], body["version"]) == (503, "unhealthy", "7.0")
    assert body["services"] == {"auth": {"status": "unhealthy", "response_time": None}}


async def test_what_was_said_is_said_again_for_a_moment(
    summary: HealthSummary, told: ToldWatch, clock: Clock
) -> None:
    first = summary.reply(draining=False)
    await answers(told, summary)
    assert summary.reply(draining=False) is first
    clock.now += KEPT_S
    assert said(summary)[1]["status"] == "healthy"


async def test_that_it_drains_is_said_at_once(summary: HealthSummary, told: ToldWatch) -> None:
    await answers(told, summary)
    assert said(summary)[1]["status"] == "healthy"
    assert said(summary, draining=True) == (200, said(summary, draining=True)[1])
    assert said(summary, draining=True)[1]["status"] == "degraded"
    assert not summary.is_ready(draining=True)


async def test_a_registry_that_is_away_degrades_and_the_service_stays_well(
    summary: HealthSummary, told: ToldWatch, clock: Clock
) -> None:
    await answers(told, summary)
    told.say(AUTH, Unanswered("unreachable", "gone"))
    await until(lambda: summary.watcher.current(AUTH).failure is not None)
    clock.now += KEPT_S
    status, body = said(summary)
    assert (status, body["status"], body["services"]["auth"]["status"]) == (200, "degraded", "healthy")


async def test_the_response_time_is_that_of_calls_where_nobody_checks(
    summary: HealthSummary, told: ToldWatch
) -> None:
    await answers(told, summary)
    recent = summary.balancer.service(AUTH).recent
    for seconds in (0.1, 0.2, 0.3):
        recent.add(seconds)
    assert said(summary)[1]["services"]["auth"]["response_time"] == 0.2


async def test_a_circuit_that_has_rested_is_worth_a_try_although_nobody_has_tried(
    summary: HealthSummary, told: ToldWatch, clock: Clock
) -> None:
    await answers(told, summary)
    policy = CircuitPolicy(min_requests=1, open_s=5)
    circuit = summary.balancer.service(AUTH).circuit = CircuitLedger(policy)
    circuit.ended(ORDINARY, clock.now, ok=False)
    assert said(summary)[0] == 503
    clock.now += policy.open_s
    status, body = said(summary)
    assert (status, body["services"]["auth"]["status"]) == (200, "degraded")


async def test_an_instance_whose_time_aside_is_over_is_worth_a_try_although_nobody_has_tried(
    summary: HealthSummary, told: ToldWatch, clock: Clock
) -> None:
    await answers(told, summary)
    found, eligible = summary.watcher.current(AUTH), summary.balancer.service(AUTH).eligible
    eligible.candidates(found, clock.now)
    eligible.starting(found.usable[0], clock.now)
    eligible.ended(found.usable[0], REFUSED, None, clock.now, clock.now)
    (record,) = eligible.put_aside.values()
    assert said(summary)[0] == 503
    clock.now = record.until
    status, body = said(summary)
    assert (status, body["services"]["auth"]["status"]) == (200, "degraded")
