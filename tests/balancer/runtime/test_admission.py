"""Calls within limits and behind a circuit, at real instances; and every interleaving of their ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.circuit import State
from balancer.hedging import ENOUGH
from balancer.model import Failed, Refused, RefusedReason, RetryClass, Subset
from balancer.outcome import OUT_OF_TIME, Kind
from balancer.policy import CircuitPolicy, ConcurrencyPolicy, RetryBudget, ServicePolicy
from balancer.runtime.base import Answer
from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from tests.balancer import origins
from tests.balancer.origins import SERVICE, Origin, answers, counts_requests, instance_at, origin, until
from tests.balancer.runtime.balancers import (
    ENDINGS,
    IDLE,
    MOVES,
    NEVER_ASIDE,
    Move,
    ScriptedUpstream,
    Watching,
    balancer_of,
    get,
    interleaved,
    known,
    no_time,
    outcome_of,
    policy,
)

SORRY = b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n"
TRIPS_AT_ONCE = CircuitPolicy(failure_ratio=0.5, min_requests=4, open_s=5, probes=2)


async def holds(connection: origins.Connection) -> None:
    """Answers each request when the test says so, all that wait together."""
    while True:
        await connection.request()
        await connection.origin.go.wait()
        await connection.say(origins.OK)


async def in_line(balancer: Balancer, queued: int) -> None:
    await until(lambda: balancer.service_states() and balancer.service_states()[0].queued == queued)


def nothing_is_held(balancer: Balancer) -> None:
    assert repr(balancer.ledger) == IDLE
    service = balancer.service(SERVICE)
    assert (service.calls, service.budget.first, service.budget.second) == (0, 0, 0)
    if service.concurrency is not None:
        assert (service.concurrency.under_way, service.concurrency.waiting) == (0, 0)
        assert service.concurrency.full == set()


# Limits


async def test_no_more_calls_than_allowed_are_under_way(upstream: PooledUpstream) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=ConcurrencyPolicy(service=2))
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(5)]
            await in_line(balancer, 3)
            await until(lambda: there.requests >= 2)
            assert there.requests == 2
            there.go.set()
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        nothing_is_held(balancer)


@pytest.mark.parametrize(
    "limits", [ConcurrencyPolicy(service=1, queue=1), ConcurrencyPolicy(instance=1, queue=1)]
)
async def test_a_call_too_many_is_refused_at_once(
    upstream: PooledUpstream, limits: ConcurrencyPolicy
) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=limits)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(2)]
            await in_line(balancer, 1)
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Refused)
            assert end.reason is RefusedReason.BUSY
            there.go.set()
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        nothing_is_held(balancer)


@pytest.mark.parametrize("limits", [ConcurrencyPolicy(service=1), ConcurrencyPolicy(instance=1)])
async def test_who_waits_too_long_is_refused(upstream: PooledUpstream, limits: ConcurrencyPolicy) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=replace(limits, wait_s=0.05))
        async with asyncio.TaskGroup() as group:
            group.create_task(outcome_of(balancer))
            await until(lambda: there.requests == 1)
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Refused)
            assert end.reason is RefusedReason.BUSY
            there.go.set()
        assert there.requests == 1
        nothing_is_held(balancer)


@pytest.mark.parametrize("limits", [ConcurrencyPolicy(service=1), ConcurrencyPolicy(instance=1)])
async def test_waiting_calls_are_released_when_they_are_cancelled(
    upstream: PooledUpstream, limits: ConcurrencyPolicy
) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=replace(limits, wait_s=60))
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(4)]
            await in_line(balancer, 3)
            calls[1].cancel()
            await in_line(balancer, 2)
            there.go.set()
        assert [call.cancelled() for call in calls] == [False, True, False, False]
        nothing_is_held(balancer)


async def test_an_instance_at_its_limit_gets_no_call_more(upstream: PooledUpstream) -> None:
    async with origin(holds, "heavy", weight=100) as heavy, origin(holds, "light") as light:
        balancer = balancer_of(
            upstream, heavy.instance, light.instance, concurrency=ConcurrencyPolicy(instance=2)
        )
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(5)]
            await in_line(balancer, 1)
            await until(lambda: heavy.requests == light.requests == 2)
            light.go.set()
            heavy.go.set()
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        nothing_is_held(balancer)


@pytest.mark.parametrize("turns", range(8))
async def test_nobody_overtakes_who_waits_for_an_instance(turns: int) -> None:
    """Whoever comes while the one who waits is woken, however many turns of the loop later."""
    scripted = ScriptedUpstream(["ends"])
    limits = ConcurrencyPolicy(instance=1, wait_s=60)
    balancer = balancer_of(scripted, instance_at(1001, "a"), concurrency=limits)
    async with asyncio.TaskGroup() as group:
        for target in ("/first", "/waits"):
            group.create_task(outcome_of(balancer, request=replace(get(), target=target)))
        await in_line(balancer, 1)
        scripted.scripts[0].go()
        await asyncio.sleep(0)
        scripted.scripts[0].go()
        for _ in range(turns):
            await asyncio.sleep(0)
        group.create_task(outcome_of(balancer, request=replace(get(), target="/late")))
        for n in (1, 2):
            await until(lambda: len(scripted.scripts) > n)  # noqa: B023 - waited for before the next turn
            for _ in range(2):
                scripted.scripts[n].go()
                await asyncio.sleep(0)
    assert [script.request.target for script in scripted.scripts] == ["/first", "/waits", "/late"]
    nothing_is_held(balancer)


async def test_a_subset_that_is_full_holds_up_nobody_else(upstream: PooledUpstream) -> None:
    inside, outside = (replace(policy(), subset=Subset("v2", side)) for side in (True, False))
    async with origin(holds, "new") as full, origin(counts_requests, "old") as idle:
        canary = replace(full.instance, tags=("v2",))
        balancer = balancer_of(upstream, canary, idle.instance, concurrency=ConcurrencyPolicy(instance=1))
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer, inside)) for _ in range(2)]
            await in_line(balancer, 1)
            for _ in range(3):
                end, _ = await outcome_of(balancer, outside)
                assert isinstance(end, Answer)
            assert not any(call.done() for call in calls)
            full.go.set()
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        assert (full.requests, idle.requests) == (2, 3)
        nothing_is_held(balancer)


async def test_a_retry_finds_room_beside_full_instances(upstream: PooledUpstream) -> None:
    async with (
        origin(origins.closes_after_request_read, "bad", weight=100) as bad,
        origin(holds, "full", weight=10) as full,
        origin(counts_requests, "free") as free,
    ):
        balancer = balancer_of(
            upstream, *(o.instance for o in (bad, full, free)), concurrency=ConcurrencyPolicy(instance=1)
        )
        async with asyncio.TaskGroup() as group:
            async with balancer.call(policy(), get(), only=bad.instance) as end:
                assert isinstance(end, Failed)
            held = group.create_task(_only(balancer, full))
            await until(lambda: full.requests == 1)
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Answer)
            assert end.instance.id == "free"
            full.go.set()
        assert held.result()
        nothing_is_held(balancer)


async def test_who_waits_for_an_instance_is_not_sent_to_one_that_takes_no_connections(
    upstream: PooledUpstream,
) -> None:
    watching = Watching()
    async with origins.refuses("dead") as dead, origin(holds, "full") as full:
        balancer = balancer_of(
            upstream,
            dead,
            full.instance,
            observer=watching,
            concurrency=ConcurrencyPolicy(instance=1, wait_s=60),
        )
        async with asyncio.TaskGroup() as group:
            async with balancer.call(policy(), get(), only=dead) as end:
                assert isinstance(end, Failed)
            held = group.create_task(_only(balancer, full))
            await until(lambda: full.requests == 1)
            waiting = group.create_task(outcome_of(balancer))
            await in_line(balancer, 1)
            full.go.set()
        assert held.result()
        assert isinstance(waiting.result()[0], Answer)
        assert [id for id, _, _ in watching.tries].count(dead.id) == 1
        nothing_is_held(balancer)


async def test_who_finds_nobody_does_not_leave_the_line_waiting_behind() -> None:
    scripted = ScriptedUpstream(["refuses"])
    limits = ConcurrencyPolicy(instance=1, wait_s=60)
    balancer = balancer_of(scripted, instance_at(1001, "a"), concurrency=limits, clock=lambda: 100.0)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(outcome_of(balancer)) for _ in range(5)]
        await in_line(balancer, 4)
        scripted.scripts[0].go()
        await until(lambda: len(scripted.scripts) == 2)
        scripted.scripts[1].go()
        await until(lambda: all(call.done() for call in calls))
    assert len(scripted.scripts) == 2, "it takes no connections, so the others are refused"
    nothing_is_held(balancer)


async def test_a_line_is_let_in_where_an_instance_has_come(upstream: PooledUpstream) -> None:
    limits = ConcurrencyPolicy(instance=1, wait_s=60)
    async with origin(holds, "old") as old, origin(holds, "new") as new, origin(holds, "newer") as newer:
        there = [known(old.instance)]
        balancer = Balancer(
            lambda service: there[0],
            upstream,
            policies={SERVICE: ServicePolicy(concurrency=limits)},
            rng=Random(1),
        )
        async with asyncio.TaskGroup() as group:
            held = group.create_task(_only(balancer, old))
            for _ in range(5):
                group.create_task(outcome_of(balancer))
            await in_line(balancer, 5)
            there[0] = known(old.instance, new.instance, newer.instance)
            held.cancel()
            await until(lambda: new.requests == newer.requests == 1)
            for each in (old, new, newer):
                each.go.set()
        nothing_is_held(balancer)


async def _only(balancer: Balancer, there: Origin) -> bool:
    async with balancer.call(policy(), get(), only=there.instance) as end:
        return isinstance(end, Answer)


@pytest.mark.parametrize("limits", [ConcurrencyPolicy(service=1), ConcurrencyPolicy(instance=1)])
async def test_time_in_line_is_time_of_the_call(upstream: PooledUpstream, limits: ConcurrencyPolicy) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=replace(limits, wait_s=60))
        async with asyncio.TaskGroup() as group:
            group.create_task(outcome_of(balancer))
            await until(lambda: there.requests == 1)
            end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=0.05))
            there.go.set()
        assert end == Failed(OUT_OF_TIME, 0)
        assert there.requests == 1
        nothing_is_held(balancer)


# The circuit


@asynccontextmanager
async def opened(
    upstream: PooledUpstream, now: list[float]
) -> AsyncIterator[tuple[Balancer, Watching, Origin]]:
    """A service whose circuit has just opened; its instance fails until `go` is set."""

    async def sorry_until_told(connection: origins.Connection) -> None:
        while True:
            await connection.request()
            await connection.say(origins.OK if connection.origin.go.is_set() else SORRY)

    watching = Watching()
    async with origin(sorry_until_told) as there:
        balancer = balancer_of(
            upstream, there.instance, circuit=TRIPS_AT_ONCE, ejection=NEVER_ASIDE,
            observer=watching, clock=lambda: now[0],
        )  # fmt: skip
        for _ in range(TRIPS_AT_ONCE.min_requests):
            await outcome_of(balancer)
        assert watching.circuits == [State.OPEN]
        yield balancer, watching, there


async def test_an_open_circuit_refuses_and_says_for_how_long(upstream: PooledUpstream) -> None:
    now = [100.0]
    async with opened(upstream, now) as (balancer, _, there):
        now[0] += 2
        for _ in range(10):
            end, _ = await outcome_of(balancer)
            assert end == Refused(RefusedReason.CIRCUIT_OPEN, 3.0)
        assert there.requests == TRIPS_AT_ONCE.min_requests
        assert balancer.service_states()[0].circuit is State.OPEN
        nothing_is_held(balancer)


async def test_probes_that_are_answered_close_it(upstream: PooledUpstream) -> None:
    now = [100.0]
    async with opened(upstream, now) as (balancer, watching, there):
        now[0] += 5
        there.go.set()
        for _ in range(3):
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Answer)
        assert watching.circuits == [State.OPEN, State.HALF_OPEN, State.CLOSED]


async def test_a_probe_that_fails_opens_it_anew(upstream: PooledUpstream) -> None:
    now = [100.0]
    async with opened(upstream, now) as (balancer, watching, _there):
        now[0] += 5
        await outcome_of(balancer)
        end, _ = await outcome_of(balancer)
        assert end == Refused(RefusedReason.CIRCUIT_OPEN, 5.0)
        assert watching.circuits == [State.OPEN, State.HALF_OPEN, State.OPEN]


async def test_exactly_the_probes_are_let_through_and_a_cancelled_one_gives_its_place_back(
    upstream: PooledUpstream,
) -> None:
    now = [100.0]
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance, circuit=TRIPS_AT_ONCE, clock=lambda: now[0])
        circuit = balancer.service(SERVICE).circuit
        assert circuit is not None
        for _ in range(TRIPS_AT_ONCE.min_requests):
            circuit.ended(0, now[0], ok=False)
        now[0] += 5
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(10)]
            await until(lambda: there.requests == 2 and sum(call.done() for call in calls) == 8)
            probes = [call for call in calls if not call.done()]
            probes[0].cancel()
            await until(probes[0].done)
            another = group.create_task(outcome_of(balancer))
            await until(lambda: there.requests == 3)
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Refused)
            for call in (probes[1], another):
                call.cancel()
        nothing_is_held(balancer)


async def test_calls_that_no_instance_answers_open_it(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with origin(origins.closes_after_request_read) as there:
        balancer = balancer_of(
            upstream, there.instance, circuit=TRIPS_AT_ONCE, ejection=NEVER_ASIDE, observer=watching
        )
        for _ in range(TRIPS_AT_ONCE.min_requests):
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Failed)
        assert watching.circuits == [State.OPEN]


async def test_a_client_in_a_hurry_does_not_close_a_service_to_others(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance, circuit=TRIPS_AT_ONCE, observer=watching)
        for _ in range(2 * TRIPS_AT_ONCE.min_requests):
            end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=0.01))
            assert isinstance(end, Failed)
            assert end.outcome.kind is Kind.TIMEOUT
        assert watching.circuits == []


async def test_what_nobody_could_be_chosen_for_says_nothing(upstream: PooledUpstream) -> None:
    watching = Watching()
    balancer = balancer_of(upstream, circuit=TRIPS_AT_ONCE, observer=watching)
    balancer.service(SERVICE)
    for _ in range(2 * TRIPS_AT_ONCE.min_requests):
        end, _ = await outcome_of(balancer)
        assert isinstance(end, Refused)
    assert watching.circuits == []


# What instances ask for


async def test_an_instance_that_asks_for_it_is_left_alone(upstream: PooledUpstream) -> None:
    tired = b"HTTP/1.1 200 OK\r\nX-Quaymaster-Eject: 30\r\nContent-Length: 2\r\n\r\nok"
    async with origin(answers(tired), "tired", weight=100) as there, origin(counts_requests, "fine") as fine:
        balancer = balancer_of(upstream, there.instance, fine.instance)
        for _ in range(10):
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Answer)
        assert (there.requests, fine.requests) == (1, 9)


# Any interleaving


@settings(max_examples=80)
@given(
    endings=ENDINGS,
    moves=MOVES,
    limits=st.builds(
        ConcurrencyPolicy,
        service=st.one_of(st.none(), st.integers(1, 3)),
        instance=st.one_of(st.none(), st.integers(1, 2)),
        queue=st.integers(0, 3),
        wait_s=st.just(60.0),
        adaptive=st.booleans(),
    ),
    retry=st.sampled_from(RetryClass),
    hedge=st.booleans(),
)
def test_places_are_live_calls_in_any_interleaving(
    endings: list[str],
    moves: list[Move],
    limits: ConcurrencyPolicy,
    retry: RetryClass,
    hedge: bool,
) -> None:
    async def drive() -> None:
        upstream = ScriptedUpstream(endings)
        instances = [instance_at(1000 + n, f"i{n}") for n in range(2)]
        circuit = CircuitPolicy(min_requests=2, open_s=0.001, probes=1)
        balancer = balancer_of(
            upstream, *instances, concurrency=limits, circuit=circuit, ejection=NEVER_ASIDE, sleep=no_time,
            retries=RetryBudget(at_least=2),
        )  # fmt: skip
        service = balancer.service(SERVICE)
        for _ in range(ENOUGH):
            service.recent.add(0.0)

        def check(live: int) -> None:
            _within(balancer, limits, live)

        await interleaved(balancer, policy(retry, hedge=hedge), upstream, moves, check)
        nothing_is_held(balancer)
        assert all(script.body.releases <= 1 for script in upstream.scripts)

    asyncio.run(drive())


def _within(balancer: Balancer, limits: ConcurrencyPolicy, live: int) -> None:
    (state,) = balancer.service_states()
    assert state.in_flight + state.queued == live
    assert state.limit is None or state.in_flight <= state.limit
    assert state.queued <= limits.queue
    if limits.instance is not None:
        assert all(load.active <= limits.instance for load in balancer.loads(SERVICE))


@pytest.mark.parametrize("limits", [ConcurrencyPolicy(service=1), ConcurrencyPolicy(instance=1)])
async def test_limits_that_are_taken_away_let_everybody_go_on(
    upstream: PooledUpstream, limits: ConcurrencyPolicy
) -> None:
    async with origin(holds) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=replace(limits, wait_s=60))
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(outcome_of(balancer))
            await in_line(balancer, 3)
            balancer.follow({SERVICE: ServicePolicy()})
            await until(lambda: there.requests == 4)
            there.go.set()
        nothing_is_held(balancer)
