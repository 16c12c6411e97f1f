"""Second tries of slow calls, at real instances: who answers, what is counted, what becomes of the loser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from balancer.hedging import ENOUGH
from balancer.model import Failed, OutboundRequest, RetryClass, Subset, UpstreamFailed
from balancer.outcome import OUTRUN
from balancer.policy import RetryBudget
from balancer.runtime.base import Answer
from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from tests.balancer import origins
from tests.balancer.origins import (
    SERVICE,
    Behaviour,
    Origin,
    answers,
    counts_requests,
    instance_at,
    origin,
    until,
)
from tests.balancer.runtime.balancers import (
    IDLE,
    SHORT,
    ScriptedUpstream,
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

HEDGED = policy(hedge=True)
USUAL_S = 0.05


async def holds(connection: origins.Connection) -> None:
    """Answers when the test says so, and then every further request at once."""
    await connection.request()
    await connection.origin.go.wait()
    await connection.say(origins.OK)
    await counts_requests(connection)


def usually_quick(balancer: Balancer) -> None:
    """As after many calls that took so long: short for a test, and enough to connect on a busy machine."""
    for _ in range(ENOUGH):
        balancer.service(SERVICE).recent.add(USUAL_S)


@asynccontextmanager
async def slow_and_quick(
    upstream: PooledUpstream, slow: Behaviour = holds, retries: RetryBudget | None = None
) -> AsyncIterator[tuple[Balancer, Watching, Origin, Origin]]:
    watching = Watching()
    async with bad_and_good(slow) as (held, quick):
        balancer = balancer_of(
            upstream, held.instance, quick.instance, observer=watching, retries=retries or RetryBudget()
        )
        usually_quick(balancer)
        yield balancer, watching, held, quick


async def test_a_hedge_and_its_loser_are_two_tries_of_one_trace(upstream: PooledUpstream) -> None:
    trace = TracedCall()
    async with slow_and_quick(upstream, origins.never_answers) as (balancer, _, held, quick):
        await outcome_of(balancer, HEDGED, replace(get(), trace=trace))
        assert (traces_told(held), traces_told(quick)) == ([b"try-1"], [b"try-2"])
    assert trace.told() == [("bad", 1, "", OUTRUN.label, None), ("good", 2, "hedge", "done_ok", 200)]


async def test_a_slow_instances_call_is_answered_by_another_one(upstream: PooledUpstream) -> None:
    async with slow_and_quick(upstream, origins.never_answers) as (balancer, watching, held, quick):
        end, body = await outcome_of(balancer, HEDGED)
        assert isinstance(end, Answer)
        assert (end.instance.id, end.attempts, body) == ("good", 2, b"ok")
        assert (held.requests, quick.requests) == (1, 1)
        assert sorted(watching.tries) == [("bad", OUTRUN.label, None), ("good", "done_ok", 200)]
        assert (watching.hedges, watching.retries) == ([True], [])
        assert repr(balancer.ledger) == IDLE, "the loser counts no longer"
        assert not balancer.loads(SERVICE)[0].aside
        await until(lambda: held.open_connections == 0)


async def test_the_second_try_has_what_is_left_of_the_calls_time(upstream: PooledUpstream) -> None:
    async with slow_and_quick(upstream, origins.never_answers) as (balancer, _, held, quick):
        await outcome_of(balancer, HEDGED)
        (first,), (second,) = timeouts_told(held), timeouts_told(quick)
        assert second < first


async def test_the_losers_connection_is_not_used_again(upstream: PooledUpstream) -> None:
    """Its answer is still to come, and would be taken for that to the next request."""
    async with slow_and_quick(upstream) as (balancer, _, held, _quick):
        await outcome_of(balancer, HEDGED)
        held.go.set()
        end, body = await outcome_of(balancer, HEDGED)
        assert isinstance(end, Answer)
        assert (end.instance.id, body, held.connections) == ("bad", b"ok", 2)


async def test_a_quick_call_is_sent_once(upstream: PooledUpstream) -> None:
    async with slow_and_quick(upstream, counts_requests) as (balancer, watching, held, quick):
        for _ in range(ENOUGH):
            balancer.service(SERVICE).recent.add(30.0)
        for _ in range(5):
            end, _ = await outcome_of(balancer, HEDGED)
            assert isinstance(end, Answer)
        assert (held.requests + quick.requests, watching.hedges) == (5, [])


async def test_the_first_may_still_win(upstream: PooledUpstream) -> None:
    async with origins.origin(holds, "a", weight=100) as a, origins.origin(holds, "b") as b:
        watching = Watching()
        balancer = balancer_of(upstream, a.instance, b.instance, observer=watching)
        usually_quick(balancer)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, HEDGED))
            await until(lambda: b.requests == 1)
            a.go.set()
        end, _ = call.result()
        assert isinstance(end, Answer)
        assert (end.instance.id, watching.hedges) == ("a", [False])
        assert repr(balancer.ledger) == IDLE


async def test_a_failed_first_try_leaves_the_call_to_the_second(upstream: PooledUpstream) -> None:
    async with (
        origins.origin(origins.resets_at_the_word, "bad", weight=100) as bad,
        origins.origin(holds, "good") as good,
    ):
        watching = Watching()
        balancer = balancer_of(upstream, bad.instance, good.instance, observer=watching)
        usually_quick(balancer)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, HEDGED))
            await until(lambda: good.requests == 1)
            bad.go.set()
            await until(lambda: watching.tries)
            good.go.set()
        end, _ = call.result()
        assert isinstance(end, Answer)
        assert (end.instance.id, watching.hedges, watching.retries) == ("good", [True], [])


async def test_both_may_fail_and_a_third_be_tried(upstream: PooledUpstream) -> None:
    async with (
        origins.origin(origins.never_answers, "a", weight=100) as a,
        origins.origin(origins.never_answers, "b", weight=10) as b,
        origins.origin(counts_requests, "c") as c,
    ):
        watching = Watching()
        balancer = balancer_of(upstream, a.instance, b.instance, c.instance, observer=watching)
        usually_quick(balancer)
        end, _ = await outcome_of(balancer, policy(timeouts=SHORT, hedge=True))
        assert isinstance(end, Answer)
        assert (end.instance.id, end.attempts) == ("c", 3)
        assert (watching.hedges, watching.retries) == ([False], ["wait_timeout"])
        assert repr(balancer.ledger) == IDLE


@pytest.mark.parametrize(
    ("of", "request_"),
    [
        (policy(RetryClass.UNSENT, hedge=True), post()),
        (policy(RetryClass.KEYED, hedge=True), post(keyed=True)),
        (policy(hedge=False), get()),
        (policy(hedge=True, max_attempts=1), get()),
    ],
    ids=["post", "keyed", "not wanted", "one attempt"],
)
async def test_what_must_not_run_twice_is_not_hedged(
    upstream: PooledUpstream, of: object, request_: OutboundRequest
) -> None:
    async with slow_and_quick(upstream) as (balancer, watching, held, quick):
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, of, request_))  # type: ignore[arg-type]  # parametrized
            await until(lambda: held.requests == 1)
            # A hedge would have begun by then.
            await asyncio.sleep(2 * USUAL_S)
            held.go.set()
        end, _ = call.result()
        assert isinstance(end, Answer)
        assert (quick.requests, watching.hedges) == (0, [])


async def test_hedges_are_inside_of_the_budget(upstream: PooledUpstream) -> None:
    async with slow_and_quick(upstream, retries=RetryBudget(0, 1)) as (balancer, watching, held, quick):
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(balancer, HEDGED)) for _ in range(2)]
            await until(lambda: held.requests == 2)
            await until(lambda: quick.requests == 1)
            held.go.set()
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        assert (quick.requests, watching.hedges) == (1, [True])
        assert balancer.service(SERVICE).budget.second == 0


async def test_a_client_that_leaves_ends_both_tries(upstream: PooledUpstream) -> None:
    never = origins.never_answers
    async with origins.origin(never, "a") as a, origins.origin(never, "b") as b:
        watching = Watching()
        balancer = balancer_of(upstream, a.instance, b.instance, observer=watching)
        usually_quick(balancer)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, HEDGED))
            await until(lambda: a.requests and b.requests)
            call.cancel()
        assert call.cancelled()
        assert repr(balancer.ledger) == IDLE
        assert [label for _, label, _ in watching.tries] == ["wait_cancelled"] * 2
        await until(lambda: a.open_connections == b.open_connections == 0)
    budget = balancer.service(SERVICE).budget
    assert (budget.first, budget.second) == (0, 0)


async def test_of_two_answers_in_one_turn_one_counts_and_the_other_is_closed() -> None:
    scripted = ScriptedUpstream(["streams"])
    balancer = balancer_of(scripted, instance_at(1001, "a"), instance_at(1002, "b"))
    usually_quick(balancer)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_left_unread(balancer))
        await until(lambda: len(scripted.scripts) == 2)
        for script in scripted.scripts:
            script.go()
    assert call.result() == 1, "one is live while its body is read"
    assert [script.body.releases for script in scripted.scripts] == [1, 1]
    assert repr(balancer.ledger) == IDLE


async def _left_unread(balancer: Balancer) -> int:
    async with balancer.call(HEDGED, get()) as end:
        assert isinstance(end, Answer)
        return balancer.ledger.total()


async def test_our_own_bug_ends_the_call_as_it_is() -> None:
    scripted = ScriptedUpstream(["is our bug", "streams"])
    balancer = balancer_of(scripted, instance_at(1001, "a"), instance_at(1002, "b"))
    usually_quick(balancer)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(_raised_by(balancer))
        await until(lambda: len(scripted.scripts) == 2)
        scripted.scripts[0].go()
    assert isinstance(call.result(), RuntimeError)
    assert repr(balancer.ledger) == IDLE


async def _raised_by(balancer: Balancer) -> BaseException | None:
    try:
        async with balancer.call(HEDGED, get()) as end:
            assert isinstance(end, Failed)
    except (RuntimeError, UpstreamFailed) as error:
        return error
    return None


async def test_an_answer_of_another_kind_wins_too(upstream: PooledUpstream) -> None:
    async with (
        origins.origin(holds, "bad", weight=100) as bad,
        origins.origin(answers(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), "good") as good,
    ):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        usually_quick(balancer)
        end, _ = await outcome_of(balancer, HEDGED)
        assert isinstance(end, Answer)
        assert end.status == 404


async def test_a_hedge_stays_in_the_subset(upstream: PooledUpstream) -> None:
    inside = replace(HEDGED, subset=Subset("v2", or_others=True))
    async with bad_and_good(origins.never_answers) as (held, quick), origin(counts_requests, "old") as old:
        new = [replace(there.instance, tags=("v2",)) for there in (held, quick)]
        balancer = balancer_of(upstream, old.instance, *new)
        usually_quick(balancer)
        end, _ = await outcome_of(balancer, inside)
        assert isinstance(end, Answer)
        assert (end.instance.id, end.attempts) == ("good", 2)
        assert (held.requests, quick.requests, old.requests) == (1, 1, 0)
