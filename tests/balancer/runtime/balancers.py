"""Balancers for tests, on real sockets or on an upstream that does as a script says."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from hypothesis import strategies as st

from balancer.budget import RetryLedger
from balancer.circuit import State
from balancer.model import (
    CallPolicy,
    Failed,
    OutboundRequest,
    Refused,
    RetryClass,
    Timeouts,
    UpstreamBroke,
    UpstreamFailed,
)
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.policy import EjectionPolicy, ServicePolicy
from balancer.runtime.base import Answer, Observer, Switched, Upstream, UpstreamAnswer
from balancer.runtime.call import Balancer
from balancer.runtime.tunnel import End
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot
from tests.balancer.origins import SERVICE, Behaviour, Origin, counts_requests, origin

PATIENT = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=60)
SHORT = Timeouts(connect_s=0.5, first_byte_s=0.25, idle_s=0.25, total_s=20)
"""For instances that keep one waiting: long enough for a busy machine, short enough for a test."""
NEVER_ASIDE = EjectionPolicy(connect_failures=0, server_errors=0, success_rate=0.0)
"""So that nothing else stands between the calls and the instances that fail."""
IDLE = "<LoadLedger: 0 calls, 0 hand-outs, 0 instances>"


class Watching(Observer):
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.tries: list[tuple[InstanceId, str, int | None]] = []
        self.retries: list[str] = []
        self.refused = 0
        self.hedges: list[bool] = []
        self.circuits: list[State] = []

    def tried(
        self, service: ServiceName, instance: Instance, outcome: Outcome, status: int | None, seconds: float
    ) -> None:
        assert seconds >= 0
        self.tries.append((instance.id, outcome.label, status))

    def retried(self, service: ServiceName, reason: str) -> None:
        self.retries.append(reason)

    def refused_retry(self, service: ServiceName) -> None:
        self.refused += 1

    def hedged(self, service: ServiceName, won: bool) -> None:
        self.hedges.append(won)

    def circuit(self, service: ServiceName, state: State) -> None:
        self.circuits.append(state)


class TracedCall:
    """A trace of one call that keeps what it was told of each try, and names the try to the instance."""

    def __init__(self) -> None:
        self.tries: list[TracedTry] = []

    def try_at(self, instance: Instance, attempt: int, reason: str) -> "TracedTry":
        self.tries.append(TracedTry(instance.id, attempt, reason))
        return self.tries[-1]

    def told(self) -> list[tuple[str, int, str, str, int | None]]:
        """Of each try: its instance and number, why it was made, and how it ended."""
        return sorted(
            (one.instance, one.attempt, one.reason, outcome, status)
            for one in self.tries
            for outcome, status in one.ends
        )


class TracedTry:
    def __init__(self, instance: InstanceId, attempt: int, reason: str) -> None:
        self.instance, self.attempt, self.reason = instance, attempt, reason
        self.headers = [(b"traceparent", b"try-%d" % attempt)]
        self.ends: list[tuple[str, int | None]] = []

    def end(self, outcome: Outcome, status: int | None) -> None:
        self.ends.append((outcome.label, status))


def traces_told(there: Origin) -> list[bytes]:
    """What each request said of its place in a trace."""
    return [value for head in there.heads for value in re.findall(rb"\r\ntraceparent: (\S+)\r\n", head)]


async def no_time(seconds: float) -> None:
    """A wait that is over at once."""
    await asyncio.sleep(0)


def known(*instances: Instance) -> ServiceSnapshot:
    return snapshot(SERVICE, Status.KNOWN, instances=instances)


def balancer_of(
    upstream: Upstream,
    *instances: Instance,
    strategy: str = "least_connections",
    clock: Callable[[], float] = time.monotonic,
    observer: Watching | None = None,
    seed: int = 1,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    **of_service: Any,
) -> Balancer:
    # One snapshot for all, as the watcher keeps it: a strategy knows its candidates by identity.
    published = known(*instances)
    return Balancer(
        lambda service: published,
        upstream,
        policies={SERVICE: ServicePolicy(strategy, **of_service)},
        rng=Random(seed),
        clock=clock,
        sleep=sleep,
        observer=observer,
    )


def policy(
    retry: RetryClass = RetryClass.SAFE,
    timeouts: Timeouts = PATIENT,
    max_attempts: int = 3,
    hedge: bool = False,
) -> CallPolicy:
    return CallPolicy(SERVICE, retry, timeouts, max_attempts, hedge)


def get() -> OutboundRequest:
    return OutboundRequest("GET", "/", [(b"Host", b"chat.example")])


def post(body: bytes | AsyncIterator[bytes] = b"{}", keyed: bool = False) -> OutboundRequest:
    return OutboundRequest("POST", "/", [(b"Host", b"chat.example")], body, keyed)


async def outcome_of(
    balancer: Balancer, of: CallPolicy | None = None, request: OutboundRequest | None = None
) -> tuple[Answer | Refused | Failed, bytes]:
    async with balancer.call(of or policy(), request or get()) as end:
        if isinstance(end, Answer):
            return end, b"".join([chunk async for chunk in end.body])
        assert not isinstance(end, Switched)
        return end, b""


@asynccontextmanager
async def bad_and_good(behaviour: Behaviour) -> AsyncIterator[tuple[Origin, Origin]]:
    """The bad one is so heavy that an idle balancer tries it first."""
    async with origin(behaviour, "bad", weight=100) as bad, origin(counts_requests, "good") as good:
        yield bad, good


def timeouts_told(there: Origin) -> list[int]:
    """The milliseconds that each request said to be left."""
    found = [re.search(rb"\r\nX-Request-Timeout-Ms: (\d+)\r\n", head) for head in there.heads]
    return [int(match[1]) for match in found if match is not None]


class ScriptedBody:
    """The body of a scripted answer: one chunk per step, then its end or a break."""

    def __init__(self, script: "Script") -> None:
        self._script = script
        self.ended = False
        self.releases = 0

    def whole(self) -> bytes | None:
        return b"" if self.ended else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self._script.step()
        match self._script.how:
            case "ends":
                self.ended = True
                raise StopAsyncIteration
            case "breaks":
                raise UpstreamBroke(Outcome(Phase.BODY, Side.INSTANCE, Kind.RESET, sent=True))
            case _:
                return b"x"

    def take_over(self, end: End) -> tuple[asyncio.Transport, bytes]:
        raise AssertionError("no script switches protocols")

    async def release(self) -> None:
        self.releases += 1


class Script:
    """How one try goes: it waits for the driver at every step."""

    def __init__(self, instance: Instance, request: OutboundRequest, how: str) -> None:
        self.instance = instance
        self.request = request
        self.how = how
        self._gate = asyncio.Event()
        self.body = ScriptedBody(self)

    async def step(self) -> None:
        await self._gate.wait()
        self._gate.clear()

    def go(self) -> None:
        self._gate.set()


class ScriptedUpstream:
    """A transport whose every step is released by the driver: an interleaving as data."""

    def __init__(self, endings: list[str]) -> None:
        self._endings = endings
        self.scripts: list[Script] = []

    async def send(
        self,
        instance: Instance,
        request: OutboundRequest,
        timeouts: Timeouts,
        *,
        repeatable: bool,
        budget: RetryLedger | None = None,
    ) -> UpstreamAnswer:
        how = self._endings[len(self.scripts) % len(self._endings)]
        script = Script(instance, request, how)
        self.scripts.append(script)
        await script.step()
        if how == "refuses":
            raise UpstreamFailed(Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False))
        if how == "resets":
            raise UpstreamFailed(Outcome(Phase.WAIT, Side.INSTANCE, Kind.RESET, sent=True))
        if how == "is our bug":
            raise RuntimeError
        return UpstreamAnswer(200, b"OK", [], script.body)


async def client(balancer: Balancer, of: CallPolicy) -> None:
    """One call, read to its end whatever that is."""
    try:
        async with balancer.call(of, get()) as end:
            if isinstance(end, Answer):
                async for _ in end.body:
                    pass
    except (UpstreamBroke, RuntimeError):
        return


Move = tuple[str, int]
ENDINGS = st.lists(
    st.sampled_from(["ends", "breaks", "streams", "refuses", "resets", "is our bug"]), min_size=1, max_size=10
)
MOVES = st.lists(
    st.one_of(
        st.just(("call", 0)),
        st.tuples(st.just("go"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
    ),
    max_size=50,
)


async def interleaved(
    balancer: Balancer,
    of: CallPolicy,
    upstream: ScriptedUpstream,
    moves: list[Move],
    check: Callable[[int], None],
) -> None:
    """Begins calls, lets their tries go on and cancels them as the moves say, and cancels the rest in the
    end. After each move, `check` is told how many are under way."""
    calls: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        for move, which in [*moves, *[("cancel", n) for n in range(len(moves))]]:
            if move == "call":
                calls.append(group.create_task(client(balancer, of)))
            elif move == "go" and upstream.scripts:
                upstream.scripts[which % len(upstream.scripts)].go()
            elif move == "cancel" and calls:
                calls[which % len(calls)].cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            check(sum(not call.done() for call in calls))
