"""Second tries within budget and time, counted at instances on real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from balancer.model import Failed, OutboundRequest, Refused, RetryClass, Subset
from balancer.outcome import OUT_OF_TIME
from balancer.policy import ConcurrencyPolicy, RetryBudget
from balancer.runtime.base import Answer
from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from tests.balancer import origins
from tests.balancer.origins import SERVICE, Origin, answers, counts_requests, origin, until
from tests.balancer.runtime.balancers import (
    IDLE,
    NEVER_ASIDE,
    PATIENT,
    SHORT,
    TracedCall,
    Watching,
    bad_and_good,
    balancer_of,
    get,
    outcome_of,
    policy,
    post,
    timeouts_told,
    traces_told,
)

ONLY_SHARE = RetryBudget(percent=20, at_least=0)
"""Without the few that are always allowed: at the end of a test, when hardly any calls are under way, they
would be more than the share."""


@asynccontextmanager
async def fleet(*behaviours: origins.Behaviour) -> AsyncIterator[list[Origin]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(origin(b, f"i{n}")) for n, b in enumerate(behaviours)]


async def calls_of(balancer: Balancer, clients: int, each: int) -> Counter[str]:
    """How the calls ended, of clients that call one after the other."""
    ends: Counter[str] = Counter()

    async def client() -> None:
        for _ in range(each):
            end, _ = await outcome_of(balancer)
            ends[type(end).__name__] += 1
            assert isinstance(end, Refused) or end.attempts <= 3

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return ends


# The budget


async def test_while_half_of_the_instances_reset_they_see_hardly_more_than_the_calls(
    upstream: PooledUpstream,
) -> None:
    watching = Watching()
    resets, answers_all = origins.resets_after_request_read, counts_requests
    async with fleet(resets, resets, answers_all, answers_all) as instances:
        balancer = balancer_of(
            upstream, *(i.instance for i in instances), strategy="round_robin", ejection=NEVER_ASIDE,
            observer=watching, retries=ONLY_SHARE,
        )  # fmt: skip
        ends = await calls_of(balancer, clients=50, each=10)
        seen = sum(i.requests for i in instances)
    assert ends.total() == 500
    assert 500 < seen < 600
    assert watching.refused > 0
    assert len(watching.retries) == seen - 500
    assert repr(balancer.ledger) == IDLE


async def test_while_all_instances_reset_they_see_hardly_more_than_the_calls(
    upstream: PooledUpstream,
) -> None:
    async with fleet(*[origins.resets_after_request_read] * 3) as instances:
        balancer = balancer_of(
            upstream, *(i.instance for i in instances), ejection=NEVER_ASIDE, retries=ONLY_SHARE
        )
        ends = await calls_of(balancer, clients=50, each=4)
        assert ends == {"Failed": 200}
        assert 200 < sum(i.requests for i in instances) < 240
    assert repr(balancer.ledger) == IDLE


async def test_no_safe_call_fails_when_one_of_three_is_killed(upstream: PooledUpstream) -> None:
    async def works(connection: origins.Connection) -> None:
        while True:
            await connection.request()
            await asyncio.sleep(0.005)
            await connection.say(origins.OK)

    async with fleet(works, works, works) as instances:
        watching = Watching()
        balancer = balancer_of(upstream, *(i.instance for i in instances), observer=watching)

        async def kill() -> None:
            await until(lambda: instances[0].requests >= 400)
            await instances[0].stop()

        async with asyncio.TaskGroup() as group:
            calls = group.create_task(calls_of(balancer, clients=100, each=30))
            group.create_task(kill())
    assert calls.result() == {"Answer": 3000}
    assert watching.retries, "it was killed in the middle of calls"
    assert repr(balancer.ledger) == IDLE


async def test_a_retry_waits_a_little_for_room(upstream: PooledUpstream) -> None:
    """Two calls fail together while one may be tried again: the other one is, once that has its answer."""

    waited: list[float] = []
    ledger = balancer_of(upstream).service(SERVICE)

    async def time_passes(seconds: float) -> None:
        waited.append(seconds)
        ledger.budget.policy = RetryBudget(at_least=2)
        await asyncio.sleep(0)

    async with bad_and_good(origins.resets_at_the_word) as (bad, good):
        balancer = balancer_of(
            upstream, bad.instance, good.instance, sleep=time_passes, retries=RetryBudget(0, 1)
        )
        ledger = balancer.service(SERVICE)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(2)]
            await until(lambda: bad.requests == 2)
            bad.go.set()
    assert all(isinstance(call.result()[0], Answer) for call in calls)
    assert len(waited) == 1


async def test_without_room_the_call_ends_as_it_failed(upstream: PooledUpstream) -> None:
    watching, waited = Watching(), 0.0

    async def no_time(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    async with bad_and_good(origins.closes_after_request_read) as (bad, good):
        balancer = balancer_of(
            upstream, bad.instance, good.instance, sleep=no_time, observer=watching, retries=RetryBudget(0, 0)
        )
        end, _ = await outcome_of(balancer)
    assert isinstance(end, Failed)
    assert (end.outcome.label, end.attempts, good.requests) == ("wait_reset", 1, 0)
    assert waited == pytest.approx(0.25)
    assert (watching.refused, watching.retries) == (1, [])


async def test_what_was_never_sent_needs_no_room(upstream: PooledUpstream) -> None:
    async with origins.refuses("bad", 100) as bad, origin(counts_requests, "good") as good:
        balancer = balancer_of(upstream, bad, good.instance, retries=RetryBudget(0, 0))
        end, _ = await outcome_of(balancer, policy(RetryClass.UNSENT), post())
        assert isinstance(end, Answer)
        assert good.requests == 1


async def test_when_nobody_can_be_reached_calls_end_at_once(upstream: PooledUpstream) -> None:
    async def waits(seconds: float) -> None:
        assert seconds == 0

    async with AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(origins.refuses(f"i{n}")) for n in range(2)]
        balancer = balancer_of(upstream, *dead, sleep=waits, retries=RetryBudget(0, 0))
        ends = [(await outcome_of(balancer))[0] for _ in range(20)]
    assert all(isinstance(end, Failed | Refused) for end in ends)
    assert repr(balancer.ledger) == IDLE


@pytest.mark.parametrize(
    "behaviour", [origins.resets_after_request_read, origins.never_answers, origins.sends_garbage]
)
async def test_what_is_not_safe_is_never_executed_twice(
    upstream: PooledUpstream, behaviour: origins.Behaviour
) -> None:
    async with fleet(behaviour, behaviour, counts_requests) as instances:
        balancer = balancer_of(
            upstream, *(i.instance for i in instances), strategy="round_robin", ejection=NEVER_ASIDE
        )
        bodies = [b"%d" % n for n in range(30)]
        async with asyncio.TaskGroup() as group:
            for body in bodies:
                unsent = policy(RetryClass.UNSENT, SHORT, hedge=True)
                group.create_task(outcome_of(balancer, unsent, post(body)))
        assert sorted(body for i in instances for body in i.bodies) == sorted(bodies)


# Time


async def test_instances_are_told_what_is_left(upstream: PooledUpstream) -> None:
    async with bad_and_good(origins.never_answers) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        end, _ = await outcome_of(balancer, policy(timeouts=SHORT), replace(get(), deadline_s=9.0))
        assert isinstance(end, Answer)
        (first,), (second,) = timeouts_told(bad), timeouts_told(good)
        assert 0 < second <= first - 250 <= 8750
        bad.heads.clear()
        await outcome_of(balancer, policy(timeouts=SHORT))
    assert timeouts_told(bad) == [20_000], "the route's, when the caller says nothing"


async def test_a_caller_can_not_have_more_time_than_the_route_gives(upstream: PooledUpstream) -> None:
    async with origin(counts_requests) as there:
        await outcome_of(balancer_of(upstream, there.instance), request=replace(get(), deadline_s=1e6))
    assert timeouts_told(there)[0] <= PATIENT.total_s * 1000


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
async def test_with_nothing_left_nothing_is_sent(upstream: PooledUpstream, deadline_s: float) -> None:
    watching = Watching()
    async with origin(counts_requests) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=deadline_s))
        assert end == Failed(OUT_OF_TIME, 0)
        assert (there.requests, watching.tries) == (0, [])


async def test_a_callers_deadline_ends_the_call_and_blames_nobody(upstream: PooledUpstream) -> None:
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance)
        end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=0.1))
        assert isinstance(end, Failed)
        assert not end.outcome.blames_instance
        assert not balancer.loads(SERVICE)[0].aside


async def test_a_retry_that_could_not_finish_is_not_begun(upstream: PooledUpstream) -> None:
    """Calls take 5 s here: half a second after a failure there is no use in another try."""
    async with bad_and_good(origins.resets_after_request_read) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        recent = balancer.service(SERVICE).recent
        for _ in range(30):
            recent.add(5.0)
        end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=4.0))
        assert isinstance(end, Failed)
        assert good.requests == 0
        end, _ = await outcome_of(balancer, request=replace(get(), deadline_s=50.0))
        assert isinstance(end, Answer)


async def test_a_tunnel_is_told_no_deadline(upstream: PooledUpstream) -> None:
    asks = [(b"Host", b"chat.example"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    async with origin(answers(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")) as there:
        balancer = balancer_of(upstream, there.instance)
        await outcome_of(balancer, request=OutboundRequest("GET", "/ws", asks, switch=True))
    assert timeouts_told(there) == []


# What is under way


async def test_states_count_what_is_under_way(upstream: PooledUpstream) -> None:
    limits = ConcurrencyPolicy(service=1)
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance, concurrency=limits)
        assert balancer.service_states() == ()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer)) for _ in range(2)]
            await until(lambda: there.requests)
            (state,) = balancer.service_states()
            assert (state.service, state.in_flight, state.queued, state.limit) == (SERVICE, 1, 1, 1)
            for call in calls:
                call.cancel()
        (state,) = balancer.service_states()
        assert (state.in_flight, state.queued, state.retrying) == (0, 0, 0)


async def test_a_call_to_one_instance_only_goes_nowhere_else(upstream: PooledUpstream) -> None:
    async with bad_and_good(origins.resets_after_request_read) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        async with balancer.call(policy(hedge=True), get(), only=bad.instance) as end:
            assert isinstance(end, Failed)
    assert (bad.requests, good.requests) == (1, 0)


# Traces


async def test_each_try_is_told_to_its_trace_and_named_to_its_instance(upstream: PooledUpstream) -> None:
    trace = TracedCall()
    async with bad_and_good(origins.resets_after_request_read) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        request = replace(get(), trace=trace)
        end, _ = await outcome_of(balancer, request=request)
        assert isinstance(end, Answer)
    assert trace.told() == [("bad", 1, "", "wait_reset", None), ("good", 2, "wait_reset", "done_ok", 200)]
    assert (traces_told(bad), traces_told(good)) == ([b"try-1"], [b"try-2"])
    assert request.headers == get().headers, "what was handed in stays as it was"


async def test_a_call_that_is_given_up_ends_its_trace(upstream: PooledUpstream) -> None:
    trace = TracedCall()
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, request=replace(get(), trace=trace)))
            await until(lambda: there.requests)
            call.cancel()
    assert trace.told() == [("a", 1, "", "wait_cancelled", None)]


async def test_retries_stay_in_the_subset(upstream: PooledUpstream) -> None:
    async with fleet(origins.resets_after_request_read, counts_requests, counts_requests) as (bad, good, old):
        new = [replace(there.instance, tags=("v2",)) for there in (bad, good)]
        balancer = balancer_of(upstream, *new, old.instance, ejection=NEVER_ASIDE)
        for rather in (False, True):
            inside = replace(policy(), subset=Subset("v2", or_others=rather))
            for _ in range(4):
                end, _ = await outcome_of(balancer, inside)
                assert isinstance(end, Answer)
        assert (good.requests, old.requests) == (8, 0)
        assert bad.requests > 0


async def test_a_side_that_takes_no_connections_is_left_by_the_calls_own_retry(
    upstream: PooledUpstream,
) -> None:
    async with fleet(counts_requests, counts_requests) as (new, old):
        balancer = balancer_of(upstream, replace(new.instance, tags=("v2",)), old.instance)
        await new.stop()
        end, _ = await outcome_of(balancer, replace(policy(), subset=Subset("v2", or_others=True)))
        assert isinstance(end, Answer)
        assert (end.instance.id, end.attempts) == ("i1", 2)
        strict, _ = await outcome_of(balancer, replace(policy(), subset=Subset("v2")))
        assert not isinstance(strict, Answer)
        assert old.requests == 1
