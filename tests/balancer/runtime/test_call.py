"""Calls over real sockets to instances that misbehave, and every interleaving of their ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.model import (
    Failed,
    OutboundRequest,
    Refused,
    RefusedReason,
    RetryClass,
    Timeouts,
    UpstreamBroke,
)
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.policy import EjectionPolicy, RetryBudget
from balancer.runtime.attempt import ABANDONED
from balancer.runtime.base import Answer, Switched
from balancer.runtime.call import Balancer
from balancer.runtime.tunnel import End, Tunnel
from balancer.runtime.upstream import PooledUpstream
from balancer.service import MAX_SERVICES
from registry.model import Instance, ServiceName, Status, snapshot
from tests.balancer import origins
from tests.balancer.origins import (
    SERVICE,
    Behaviour,
    answers,
    counts_requests,
    instance_at,
    origin,
    until,
)
from tests.balancer.runtime.balancers import (
    ENDINGS,
    IDLE,
    MOVES,
    PATIENT,
    SHORT,
    Move,
    ScriptedUpstream,
    Watching,
    bad_and_good,
    balancer_of,
    get,
    interleaved,
    known,
    no_time,
    outcome_of,
    policy,
    post,
)


async def test_a_call_reaches_an_instance_and_counts_until_its_body_has_ended(
    upstream: PooledUpstream,
) -> None:
    async def in_two_parts(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await connection.origin.go.wait()
        await connection.say(b"k")
        await connection.reader.read()

    watching = Watching()
    async with origin(in_two_parts) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        async with balancer.call(policy(), get()) as answer:
            assert isinstance(answer, Answer)
            assert (answer.status, answer.reason, answer.attempts) == (200, b"OK", 1)
            assert answer.instance is there.instance
            assert [load.active for load in balancer.loads(SERVICE)] == [1]
            there.go.set()
            assert b"".join([chunk async for chunk in answer.body]) == b"ok"
            assert [load.active for load in balancer.loads(SERVICE)] == [0]
            assert [chunk async for chunk in answer.body] == []
    assert watching.tries == [("a", "done_ok", 200)]
    assert watching.retries == []
    assert repr(balancer.ledger) == IDLE


async def test_a_call_whose_answer_came_whole_counts_no_longer(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with origin(counts_requests) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        async with balancer.call(policy(), get()) as answer:
            assert isinstance(answer, Answer)
            assert [load.active for load in balancer.loads(SERVICE)] == [0]
            assert answer.body.whole() == b"ok"
    assert watching.tries == [("a", "done_ok", 200)]


# What is tried again, per fault and retry class

ONCE = "stays with the first instance"
AGAIN = "answered by another one"


@pytest.mark.parametrize(
    ("behaviour", "retry", "keyed", "expected"),
    [
        (origins.closes_after_request_read, RetryClass.SAFE, False, AGAIN),
        (origins.closes_after_request_read, RetryClass.UNSENT, False, ONCE),
        (origins.closes_after_request_read, RetryClass.KEYED, False, ONCE),
        (origins.closes_after_request_read, RetryClass.KEYED, True, AGAIN),
        (origins.closes_after_request_read, RetryClass.NEVER, True, ONCE),
        (origins.resets_after_request_read, RetryClass.SAFE, False, AGAIN),
        (origins.resets_after_request_read, RetryClass.UNSENT, False, ONCE),
        (origins.never_answers, RetryClass.SAFE, False, AGAIN),
        (origins.never_answers, RetryClass.UNSENT, False, ONCE),
        (origins.drips_the_head, RetryClass.SAFE, False, AGAIN),
        (origins.sends_garbage, RetryClass.SAFE, False, AGAIN),
        (origins.sends_garbage, RetryClass.UNSENT, False, ONCE),
        (origins.answers_101_unasked, RetryClass.SAFE, False, AGAIN),
        (origins.answers_101_unasked, RetryClass.UNSENT, False, ONCE),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_what_may_have_run_is_repeated_only_where_the_route_says_so(
    upstream: PooledUpstream, behaviour: Behaviour, retry: RetryClass, keyed: bool, expected: str
) -> None:
    watching = Watching()
    async with bad_and_good(behaviour) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance, observer=watching)
        end, _ = await outcome_of(balancer, policy(retry, SHORT), post(keyed=keyed))
    assert bad.requests == 1
    if expected is AGAIN:
        assert isinstance(end, Answer)
        assert (end.attempts, end.instance.id, good.requests) == (2, "good", 1)
        assert watching.retries == [watching.tries[0][1]]
    else:
        assert isinstance(end, Failed)
        assert (end.attempts, good.requests, watching.retries) == (1, 0, [])
        assert end.outcome.sent
    assert repr(balancer.ledger) == IDLE


@pytest.mark.parametrize("retry", [RetryClass.SAFE, RetryClass.UNSENT, RetryClass.KEYED, RetryClass.NEVER])
@pytest.mark.parametrize("unconnectable", [origins.refuses, origins.never_accepts])
async def test_what_was_provably_not_sent_goes_to_another_instance(
    upstream: PooledUpstream,
    retry: RetryClass,
    unconnectable: Callable[[str, int], AbstractAsyncContextManager[Instance]],
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"only once"

    async with unconnectable("bad", 100) as bad, origin(counts_requests, "good") as good:
        balancer = balancer_of(upstream, bad, good.instance)
        end, _ = await outcome_of(balancer, policy(retry, SHORT), post(stream()))
        if retry is RetryClass.NEVER:
            assert isinstance(end, Failed)
            assert (end.outcome.phase, end.attempts) == (Phase.CONNECT, 1)
        else:
            assert isinstance(end, Answer)
            assert end.attempts == 2
            assert good.bodies == [b"only once"]
        assert [(load.id, load.aside) for load in balancer.loads(SERVICE)] == [
            ("bad", True),
            ("good", False),
        ]


async def test_a_stream_that_was_begun_cannot_be_sent_again(upstream: PooledUpstream) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"only once"

    async with bad_and_good(origins.closes_after_request_read) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance)
        end, _ = await outcome_of(balancer, policy(RetryClass.SAFE), post(stream()))
    assert isinstance(end, Failed)
    assert (end.attempts, good.requests) == (1, 0)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_instances_own_error_passes_through(upstream: PooledUpstream, status: int) -> None:
    head = b"HTTP/1.1 %d Sorry\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nsorry" % status
    async with bad_and_good(answers(head)) as (bad, good):
        end, body = await outcome_of(balancer_of(upstream, bad.instance, good.instance))
    assert isinstance(end, Answer)
    assert (end.status, end.attempts, body, good.requests) == (status, 1, b"sorry", 0)


async def test_every_instance_is_tried_once_and_the_last_failure_is_told(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(origins.refuses(f"i{n}")) for n in range(2)]
        balancer = balancer_of(upstream, *dead, observer=watching)
        end, _ = await outcome_of(balancer, policy(max_attempts=9))
    assert isinstance(end, Failed)
    assert (end.attempts, end.outcome.label) == (2, "connect_refused")
    assert sorted(id for id, _, _ in watching.tries) == ["i0", "i1"]


async def test_attempts_are_limited(upstream: PooledUpstream) -> None:
    async with AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(origins.refuses(f"i{n}")) for n in range(5)]
        watching = Watching()
        end, _ = await outcome_of(balancer_of(upstream, *dead, observer=watching), policy(max_attempts=3))
    assert isinstance(end, Failed)
    assert end.attempts == len({id for id, _, _ in watching.tries}) == 3
    assert watching.retries == ["connect_refused"] * 2


async def test_the_whole_call_has_one_deadline(upstream: PooledUpstream) -> None:
    """Three instances that hang for 0.5 s each do not make a call of 0.7 s take 1.5 s."""
    limits = Timeouts(connect_s=5, first_byte_s=0.5, idle_s=0.5, total_s=0.7)
    async with AsyncExitStack() as stack:
        hung = [await stack.enter_async_context(origin(origins.never_answers, f"i{n}")) for n in range(3)]
        balancer = balancer_of(upstream, *(h.instance for h in hung))
        started = asyncio.get_running_loop().time()
        end, _ = await outcome_of(balancer, policy(timeouts=limits))
        took = asyncio.get_running_loop().time() - started
    assert isinstance(end, Failed)
    assert (end.outcome.side, end.outcome.kind, end.attempts) == (Side.GATEWAY, Kind.TIMEOUT, 2)
    assert 0.65 <= took < 1.3


@pytest.mark.parametrize("service", [Status.UNKNOWN, Status.UNREACHABLE, Status.KNOWN])
async def test_an_expected_no_is_a_value(upstream: PooledUpstream, service: Status) -> None:
    nothing = snapshot(SERVICE, service)
    balancer = Balancer(lambda name: nothing, upstream, policies={}, rng=Random(1))
    end, _ = await outcome_of(balancer)
    assert isinstance(end, Refused)
    assert end.reason in (
        RefusedReason.UNKNOWN_SERVICE,
        RefusedReason.REGISTRY_UNREACHABLE,
        RefusedReason.NO_INSTANCES,
    )


# Bodies that break, clients that leave


@pytest.mark.parametrize(
    ("behaviour", "label"), [(origins.ends_mid_body, "body_reset"), (origins.stops_mid_body, "body_timeout")]
)
async def test_a_body_cut_short_is_never_repeated_and_blames_the_instance(
    upstream: PooledUpstream, behaviour: Behaviour, label: str
) -> None:
    watching = Watching()
    async with bad_and_good(behaviour) as (bad, good):
        balancer = balancer_of(upstream, bad.instance, good.instance, observer=watching)
        got: list[bytes] = []

        async def read() -> None:
            async with balancer.call(policy(timeouts=SHORT), get()) as answer:
                assert isinstance(answer, Answer)
                async for chunk in answer.body:
                    got.append(chunk)  # noqa: PERF401 - what came before the break counts

        with pytest.raises(UpstreamBroke) as raised:
            await read()
        assert good.requests == 0
    assert got == [b"half"]
    assert raised.value.outcome.label == label
    assert raised.value.outcome.blames_instance
    assert watching.tries == [("bad", label, 200)]
    assert repr(balancer.ledger) == IDLE


async def test_a_client_that_leaves_early_frees_the_instance_and_blames_nobody(
    upstream: PooledUpstream,
) -> None:
    watching = Watching()
    async with origin(origins.stops_mid_body) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        async with balancer.call(policy(), get()) as answer:
            assert isinstance(answer, Answer)
            assert repr(balancer.ledger) != IDLE
        assert repr(balancer.ledger) == IDLE
        await until(lambda: there.open_connections == 0)
        assert not balancer.loads(SERVICE)[0].aside
    assert watching.tries == [("a", ABANDONED.label, 200)]


async def test_an_answer_nobody_reads_but_that_came_whole_is_a_success(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with origin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        async with balancer.call(policy(), OutboundRequest("HEAD", "/", [])):
            pass
    assert watching.tries == [("a", SUCCESS.label, 200)]


async def test_a_cancelled_call_frees_the_instance_and_blames_nobody(upstream: PooledUpstream) -> None:
    watching = Watching()
    async with origin(origins.never_answers) as there:
        balancer = balancer_of(upstream, there.instance, observer=watching)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, policy()))
            await until(lambda: there.requests)
            assert balancer.loads(SERVICE)[0].active == 1
            call.cancel()
        assert call.cancelled()
        assert balancer.loads(SERVICE)[0].active == 0
        assert not balancer.loads(SERVICE)[0].aside
        await until(lambda: there.open_connections == 0)
    assert watching.tries == [("a", "wait_cancelled", None)]


async def test_a_cancelled_retry_ends_the_call(upstream: PooledUpstream) -> None:
    """tenacity must not take a cancellation for a failure to repeat."""
    async with origins.refuses("bad", 100) as bad, origin(origins.never_answers, "good") as good:
        balancer = balancer_of(upstream, bad, good.instance)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(outcome_of(balancer, policy()))
            await until(lambda: good.requests)
            call.cancel()
        assert call.cancelled()
    assert repr(balancer.ledger) == IDLE


async def test_an_error_of_the_caller_passes_through_and_frees_the_instance(
    upstream: PooledUpstream,
) -> None:
    async with origin(counts_requests) as there:
        balancer = balancer_of(upstream, there.instance)
        with pytest.raises(ZeroDivisionError):
            async with balancer.call(policy(), get()):
                raise ZeroDivisionError
        assert repr(balancer.ledger) == IDLE


# Cool-downs: RELIABILITY 1.4


@pytest.mark.parametrize("strategy", ["least_connections", "round_robin"])
async def test_after_the_first_refused_connection_the_dead_one_gets_nothing(
    upstream: PooledUpstream, strategy: str
) -> None:
    watching = Watching()
    now = 100.0
    async with origins.refuses("dead") as dead, origin(counts_requests, "fine") as fine:
        balancer = balancer_of(
            upstream, dead, fine.instance, strategy=strategy, observer=watching, clock=lambda: now
        )

        async def forty_posts() -> int:
            watching.tries.clear()
            for _ in range(40):
                end, _ = await outcome_of(balancer, policy(RetryClass.UNSENT), post())
                assert isinstance(end, Answer)
            return [id for id, _, _ in watching.tries].count(dead.id)

        assert await forty_posts() == 1
        assert await forty_posts() == 0
        now += 2.0
        assert await forty_posts() == 1
        now += 3.9
        assert await forty_posts() == 0


async def test_after_a_cool_down_one_call_probes_for_all(upstream: PooledUpstream) -> None:
    """Else everybody who comes within the connect timeout would pay it."""
    watching = Watching()
    now = 100.0
    async with origins.never_accepts("dead") as dead, origin(counts_requests, "fine") as fine:
        balancer = balancer_of(upstream, dead, fine.instance, observer=watching, clock=lambda: now)
        while not balancer.loads(SERVICE)[0].aside:
            await outcome_of(balancer, policy(timeouts=SHORT))
        watching.tries.clear()
        now += 2.0
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(outcome_of(balancer, policy(timeouts=replace(PATIENT, connect_s=0.5))))
    ends = [f"{id} {label}" for id, label, _ in watching.tries]
    assert ends.count("dead connect_timeout") == 1
    assert ends.count("fine done_ok") == 50


@pytest.mark.parametrize("request_of", [get, post])
async def test_a_call_finds_out_about_one_instance_and_not_about_all_that_are_dead(
    upstream: PooledUpstream, request_of: Callable[[], OutboundRequest]
) -> None:
    now = 100.0
    async with AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(origins.refuses(f"dead{n}")) for n in range(3)]
        fine = await stack.enter_async_context(origin(counts_requests, "fine"))
        balancer = balancer_of(upstream, *dead, fine.instance, clock=lambda: now)
        for instance in dead:
            async with balancer.call(policy(), get(), only=instance) as end:
                assert isinstance(end, Failed)
        now += 2.0
        end, _ = await outcome_of(balancer, policy(RetryClass.KEYED), request_of())
    assert isinstance(end, Answer)
    assert (end.instance.id, end.attempts) == ("fine", 2)


async def test_a_call_that_has_one_try_is_not_used_to_find_out(upstream: PooledUpstream) -> None:
    now = 100.0
    async with bad_and_good(origins.closes_after_request_read) as (bad, good):
        balancer = balancer_of(
            upstream,
            bad.instance,
            good.instance,
            clock=lambda: now,
            ejection=EjectionPolicy(server_errors=1),
        )
        end, _ = await outcome_of(balancer, policy(max_attempts=1))
        assert isinstance(end, Failed)
        now += 2.0
        end, _ = await outcome_of(balancer, policy(max_attempts=1))
        assert isinstance(end, Answer)


async def test_an_instance_that_is_back_serves_again(upstream: PooledUpstream) -> None:
    now = 100.0
    async with origin(counts_requests) as there:
        balancer = balancer_of(upstream, there.instance, clock=lambda: now)
        refused = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
        balancer.service(SERVICE).eligible.ended(there.instance, refused, None, now)
        assert balancer.loads(SERVICE)[0].aside
        end, _ = await outcome_of(balancer)
        assert isinstance(end, Answer), "the only one is tried although it cools down"
        assert not balancer.loads(SERVICE)[0].aside


async def test_no_post_is_lost_while_an_instance_is_dead(upstream: PooledUpstream) -> None:
    """The naive gateway lost 23 % here; nginx and HAProxy lose none."""
    async with AsyncExitStack() as stack:
        dead = await stack.enter_async_context(origins.refuses("dead"))
        fine = [await stack.enter_async_context(origin(counts_requests, f"i{n}")) for n in range(2)]
        balancer = balancer_of(upstream, dead, *(f.instance for f in fine))
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(outcome_of(balancer, policy(RetryClass.UNSENT), post())) for _ in range(200)
            ]
        assert all(isinstance(call.result()[0], Answer) for call in calls)
        assert sum(f.requests for f in fine) == 200
    assert repr(balancer.ledger) == IDLE


# Hand-outs


# Other protocols


def upgrade() -> OutboundRequest:
    asks = [(b"Host", b"chat.example"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    return OutboundRequest("GET", "/ws", asks, switch=True)


async def test_a_tunnel_counts_as_a_call_while_it_lives(upstream: PooledUpstream) -> None:
    async def echoes(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        while heard := await connection.reader.read(100):
            await connection.say(heard)

    class Hears(End):
        heard = b""

        def data_received(self, data: bytes) -> None:
            self.heard += data

    async with origin(echoes) as there:
        balancer = balancer_of(upstream, there.instance)
        async with balancer.call(policy(), upgrade()) as end:
            assert isinstance(end, Switched)
            hears = Hears(Tunnel(60))
            transport, early = end.take_over(hears)
            transport.write(b"and back")
            await until(lambda: hears.heard)
            assert (early + hears.heard, balancer.ledger.total()) == (b"helloand back", 1)
            transport.close()
            await until(lambda: there.open_connections == 0)
        assert balancer.ledger.total() == 0


async def test_an_answer_to_an_upgrade_may_be_any_other(upstream: PooledUpstream) -> None:
    async with origin(answers(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")) as there:
        end, body = await outcome_of(balancer_of(upstream, there.instance), request=upgrade())
        assert isinstance(end, Answer)
        assert (end.status, body) == (401, b"no")


async def test_hand_outs_spread_and_expire(upstream: PooledUpstream) -> None:
    now = 100.0
    a, b = instance_at(1001, "a"), instance_at(1002, "b")
    balancer = balancer_of(upstream, a, b, clock=lambda: now)
    handed = [balancer.hand_out(known(a, b), ttl_s=10) for _ in range(6)]
    assert handed.count(a) == handed.count(b) == 3
    assert [load.active for load in balancer.loads(SERVICE)] == [3, 3]
    assert balancer.hand_out(known(a, b), 10, exclude=frozenset({a.id})) is b
    now += 10
    assert repr(balancer).startswith("<Balancer: <LoadLedger: 0 calls, 7 hand-outs")
    assert [load.active for load in balancer.loads(SERVICE)] == [0, 0]


async def test_hand_outs_say_why_there_is_none(upstream: PooledUpstream) -> None:
    a = instance_at(1001, "a")
    balancer = balancer_of(upstream, a)
    assert balancer.hand_out(snapshot(SERVICE, Status.UNKNOWN), 10) == Refused(RefusedReason.UNKNOWN_SERVICE)
    assert balancer.hand_out(known(a), 10, frozenset({a.id})) == Refused(RefusedReason.ALL_TRIED)
    assert repr(balancer.ledger) == IDLE


async def test_calls_and_hand_outs_are_counted_together(upstream: PooledUpstream) -> None:
    """Least-connections spreads calls over what was handed out, too."""
    async with origin(counts_requests, "a") as a, origin(counts_requests, "b") as b:
        balancer = balancer_of(upstream, a.instance, b.instance)
        busy = balancer.hand_out(known(a.instance, b.instance), ttl_s=10)
        assert isinstance(busy, Instance)
        for _ in range(3):
            end, _ = await outcome_of(balancer)
            assert isinstance(end, Answer)
            assert end.instance.id != busy.id


async def test_strategies_are_kept_per_service_and_bounded(upstream: PooledUpstream) -> None:
    one = instance_at(1001, "a")
    balancer = balancer_of(upstream, one)
    for n in range(MAX_SERVICES + 50):
        name = ServiceName(f"s{n}")
        balancer.hand_out(snapshot(name, Status.KNOWN, instances=(one,)), 1)
        balancer.hand_out(snapshot(ServiceName(f"unknown{n}"), Status.UNKNOWN), 1)
    assert repr(balancer).endswith(f"{MAX_SERVICES} services>")


# Any interleaving


@settings(max_examples=80)
@given(
    endings=ENDINGS,
    moves=MOVES,
    strategy=st.sampled_from(["least_connections", "round_robin"]),
    retry=st.sampled_from(RetryClass),
)
def test_counters_return_to_zero_after_any_interleaving(
    endings: list[str], moves: list[Move], strategy: str, retry: RetryClass
) -> None:
    async def drive() -> None:
        upstream = ScriptedUpstream(endings)
        instances = [instance_at(1000 + n, f"i{n}") for n in range(3)]
        balancer = balancer_of(upstream, *instances, strategy=strategy, sleep=no_time)

        def check(live: int) -> None:
            assert balancer.ledger.total() <= live

        await interleaved(balancer, policy(retry), upstream, moves, check)
        assert repr(balancer.ledger) == IDLE
        assert all(script.body.releases <= 1 for script in upstream.scripts)

    asyncio.run(drive())


@given(
    faults=st.lists(st.sampled_from(["ends", "refuses", "resets"]), min_size=3, max_size=12),
    count=st.integers(1, 5),
    attempts=st.integers(1, 6),
    strategy=st.sampled_from(["least_connections", "round_robin"]),
    seed=st.integers(0, 99),
)
def test_no_call_goes_twice_to_an_instance(
    faults: list[str], count: int, attempts: int, strategy: str, seed: int
) -> None:
    async def drive() -> None:
        upstream = ScriptedUpstream(faults)
        instances = [instance_at(1000 + n, f"i{n}") for n in range(count)]
        plenty = RetryBudget(at_least=100)
        balancer = balancer_of(
            upstream, *instances, strategy=strategy, seed=seed, sleep=no_time, retries=plenty
        )
        for _ in range(4):
            first = len(upstream.scripts)
            async with asyncio.TaskGroup() as group:
                call = group.create_task(outcome_of(balancer, policy(max_attempts=attempts)))
                while not call.done():
                    for script in upstream.scripts[first:]:
                        script.go()
                    await asyncio.sleep(0)
            tried = [script.instance.id for script in upstream.scripts[first:]]
            assert len(tried) == len(set(tried)) <= min(count, attempts)
            assert set(tried) <= {instance.id for instance in instances}
            end, _ = call.result()
            assert isinstance(end, Answer) == (upstream.scripts[-1].how == "ends")
            unreachable = all(load.aside for load in balancer.loads(SERVICE))
            if isinstance(end, Failed) and not unreachable:
                assert len(tried) == min(count, attempts), "an untried one was left"

    asyncio.run(drive())
