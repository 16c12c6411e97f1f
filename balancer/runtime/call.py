"""Carries a call out: choose, send, finish, and again if that is allowed.

The balancer owns what is counted (loads, and a ledger for each service) and decides nothing itself. Every
lease that is started here ends exactly once, however the call ends.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from random import Random
from types import TracebackType
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, wait_exponential_jitter

from balancer.load import LoadLedger
from balancer.model import (
    CallPolicy,
    Failed,
    Headers,
    OutboundRequest,
    Refused,
    RefusedReason,
    UpstreamBroke,
    UpstreamFailed,
)
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.policy import ServicePolicy
from balancer.retry import LONGEST_WAIT_S, AttemptFacts, Retry, decide, safe_to_repeat
from balancer.runtime.base import AnswerBody, LeasedBody, Upstream
from balancer.runtime.bodies import WholeBody
from balancer.runtime.tunnel import End as TunnelEnd
from balancer.selection import Chosen, choose, refusal
from balancer.service import ServiceLedger
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot

MAX_SERVICES = 1024
"""Ledgers kept; the service that was asked for longest ago loses its own and starts anew."""
DEFAULT_POLICY = ServicePolicy()
"""Of services that the settings don't name."""
BASE_WAIT_S = 0.025
ABANDONED = Outcome(Phase.BODY, Side.CLIENT, Kind.CANCELLED, sent=True)
"""The answer was not read to its end: nothing is known against the instance."""


@dataclass(slots=True)
class Answer:
    """The head of an instance's answer, and its body."""

    status: int
    reason: bytes
    headers: Headers
    body: AnswerBody
    instance: Instance
    attempts: int


@dataclass(frozen=True, slots=True)
class Switched:
    """The instance speaks another protocol from here on (101): its connection is to be taken over."""

    reason: bytes
    headers: Headers
    take_over: Callable[[TunnelEnd], tuple[asyncio.Transport, bytes]]
    instance: Instance
    attempts: int


End = Answer | Switched | Refused | Failed


class Observer(Protocol):
    """Is told of every try when it has ended, and of every retry before it begins. Must not raise."""

    def tried(
        self,
        service: ServiceName,
        instance: Instance,
        outcome: Outcome,
        status: int | None,
        seconds: float,
    ) -> None: ...

    def retried(self, service: ServiceName, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class InstanceLoad:
    """What the balancer holds of one instance, for metrics and health pages."""

    id: InstanceId
    active: int
    """Calls in flight and live hand-outs."""
    aside: bool
    """Put aside for the way its calls ended."""


class Balancer:
    """Chooses an instance per call and carries the call there. Used from one event loop only."""

    def __init__(
        self,
        snapshots: Callable[[ServiceName], ServiceSnapshot],
        upstream: Upstream,
        *,
        policies: Mapping[ServiceName, ServicePolicy],
        rng: Random,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        self.snapshots = snapshots
        self.upstream = upstream
        self.clock = clock
        self.observer = observer
        self.ledger = LoadLedger()
        self._policies = policies
        self._rng = rng
        self._services: OrderedDict[ServiceName, ServiceLedger] = OrderedDict()
        self.retrying = AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=BASE_WAIT_S, jitter=BASE_WAIT_S, max=LONGEST_WAIT_S),
            sleep=asyncio.sleep,
        )

    def call(
        self, policy: CallPolicy, request: OutboundRequest, only: Instance | None = None
    ) -> "AbstractAsyncContextManager[End]":
        """Sends the request, to other instances too as far as `policy` allows; or to `only` that one.

        The instance counts as busy until the answer's body has ended or the context is left. A body
        that the context leaves unread is given up with its connection.
        """
        return _Call(self, policy, request, only)

    def hand_out(
        self, snapshot: ServiceSnapshot, ttl_s: float, exclude: frozenset[InstanceId] = frozenset()
    ) -> Instance | Refused:
        """An instance for a caller that connects by itself; it counts as one connection for `ttl_s`."""
        now = self.clock()
        chosen = self.choose(snapshot, exclude, now, hand_out=True)
        if isinstance(chosen, Refused):
            return chosen
        self.ledger.hand_out(chosen.instance, now, ttl_s)
        return chosen.instance

    def loads(self, service: ServiceName) -> tuple[InstanceLoad, ...]:
        """Every instance of the service as it is known now."""
        now = self.clock()
        load_of, known = self.ledger.at(now), self._services.get(service)
        return tuple(
            InstanceLoad(i.id, load_of(i), known is not None and known.eligible.aside(i, now))
            for i in self.snapshots(service).instances
        )

    def choose(
        self,
        snapshot: ServiceSnapshot,
        tried: frozenset[InstanceId],
        now: float,
        *,
        repeatable: bool = False,
        hand_out: bool = False,
    ) -> Chosen | Refused:
        name = snapshot.service
        if name not in self._services and (refused := refusal(snapshot)) is not None:
            # A service that nobody can be chosen of must not cost another one its ledger.
            return refused
        service = self.service(name)
        return choose(
            snapshot,
            service.eligible,
            self.ledger,
            service.strategy,
            tried,
            b"",
            now,
            repeatable=repeatable,
            hand_out=hand_out,
        )

    def service(self, name: ServiceName) -> ServiceLedger:
        """The ledger of that service, a new one if nothing is known of it."""
        known = self._services.get(name)
        if known is not None:
            self._services.move_to_end(name)
            return known
        made = self._services[name] = ServiceLedger(self._policies.get(name, DEFAULT_POLICY), self._rng)
        if len(self._services) > MAX_SERVICES:
            self._services.popitem(last=False)
        return made

    def follow(self, policies: Mapping[ServiceName, ServicePolicy]) -> None:
        """Takes new policies; what is known of services and instances stays."""
        self._policies = policies
        for name, service in self._services.items():
            service.follow(policies.get(name, DEFAULT_POLICY))

    def __repr__(self) -> str:
        return f"<Balancer: {self.ledger!r}, {len(self._services)} services>"


class _Call:
    """One call and its tries, one after the other. A context that is entered once."""

    __slots__ = (
        "_balancer",
        "_body",
        "_failed",
        "_only",
        "_policy",
        "_repeatable",
        "_request",
        "_started_at",
        "_stream",
        "_tried",
    )

    def __init__(
        self, balancer: Balancer, policy: CallPolicy, request: OutboundRequest, only: Instance | None
    ) -> None:
        self._balancer = balancer
        self._only = only
        self._policy = policy
        self._stream = None if isinstance(request.body, bytes) else _OnceStream(request.body)
        self._request = request if self._stream is None else replace(request, body=self._stream)
        self._repeatable = safe_to_repeat(policy.retry, keyed=request.idempotency_key)
        self._started_at = balancer.clock()
        self._tried: frozenset[InstanceId] = frozenset()
        self._failed: Failed | None = None
        self._body: _CountedBody | None = None

    async def __aenter__(self) -> End:
        # The first try runs outside of tenacity, which would cost every good call 25 microseconds.
        end = await self._try_one()
        if isinstance(end, Failed) and self._wants_another(end):
            # A copy: the object's own state is shared by all its users.
            end = await self._balancer.retrying.copy(retry=self._wants_yet_another)(self._try_one)
        if isinstance(end, Refused) and self._failed is not None:
            return self._failed
        return end

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._body is not None:
            await self._body.close()

    async def _try_one(self) -> End:
        balancer, policy = self._balancer, self._policy
        service, now = policy.service, balancer.clock()
        if self._only is None:
            chosen = balancer.choose(
                balancer.snapshots(service), self._tried, now, repeatable=self._repeatable
            )
            if isinstance(chosen, Refused):
                return chosen
            instance = chosen.instance
        elif self._tried:
            return Refused(RefusedReason.ALL_TRIED)
        else:
            instance = self._only
        timeouts = policy.timeouts
        if self._tried:
            timeouts = replace(timeouts, total_s=max(0.0, self._remaining_s(now)))
            if self._failed is not None and balancer.observer is not None:
                balancer.observer.retried(service, self._failed.outcome.label)
        self._tried |= {instance.id}
        attempts = len(self._tried)
        this = _Try(balancer, service, instance, now)
        try:
            answer = await balancer.upstream.send(
                instance, self._request, timeouts, repeatable=self._repeatable
            )
        except UpstreamFailed as fault:
            this.end(fault.outcome)
            self._failed = Failed(fault.outcome, attempts)
            return self._failed
        except BaseException as error:
            side = Side.CLIENT if isinstance(error, asyncio.CancelledError) else Side.GATEWAY
            this.end(Outcome(Phase.WAIT, side, Kind.CANCELLED, sent=True))
            raise
        this.answered(answer.status)
        body = answer.body
        if isinstance(body, WholeBody):
            this.end(SUCCESS)
            return Answer(answer.status, answer.reason, answer.headers, body, instance, attempts)
        self._body = _CountedBody(body, this)
        if answer.status == 101:
            return Switched(answer.reason, answer.headers, body.take_over, instance, attempts)
        return Answer(answer.status, answer.reason, answer.headers, self._body, instance, attempts)

    def _wants_yet_another(self, state: RetryCallState) -> bool:
        """tenacity's predicate: it asks after every try. Whatever was raised ends the call."""
        assert state.outcome is not None
        if state.outcome.failed:
            return False
        end = state.outcome.result()
        return isinstance(end, Failed) and self._wants_another(end)

    def _wants_another(self, end: Failed) -> bool:
        facts = AttemptFacts(
            retry=self._policy.retry,
            attempt=end.attempts,
            max_attempts=self._policy.max_attempts,
            replayable=self._stream is None or not self._stream.begun,
            keyed=self._request.idempotency_key,
            remaining_s=self._remaining_s(self._balancer.clock()),
        )
        return isinstance(decide(facts, end.outcome), Retry)

    def _remaining_s(self, now: float) -> float:
        return self._policy.timeouts.total_s - (now - self._started_at)


class _Try:
    """One try at one instance: the lease on it, and whom its end is told."""

    __slots__ = ("_balancer", "_instance", "_lease", "_ledger", "_service", "_status")

    def __init__(self, balancer: Balancer, service: ServiceName, instance: Instance, now: float) -> None:
        self._balancer = balancer
        self._service = service
        self._ledger = balancer.service(service)
        self._instance = instance
        self._status: int | None = None
        self._lease = balancer.ledger.start(instance, now)
        self._ledger.eligible.starting(instance, now)

    def answered(self, status: int) -> None:
        self._status = status
        now, began = self._balancer.clock(), self._lease.started_at
        self._ledger.eligible.answered(self._instance, status, None, now, began)

    def end(self, outcome: Outcome) -> None:
        """The first end counts: after it the body may end, break and be closed as often as it likes."""
        if not self._lease.finish():
            return
        balancer, now = self._balancer, self._balancer.clock()
        self._ledger.eligible.ended(self._instance, outcome, self._status, now, self._lease.started_at)
        if balancer.observer is not None:
            seconds = now - self._lease.started_at
            balancer.observer.tried(self._service, self._instance, outcome, self._status, seconds)


class _CountedBody:
    """The body of an answer; its end is the end of the try."""

    __slots__ = ("_body", "_try")

    def __init__(self, body: LeasedBody, this: _Try) -> None:
        self._body = body
        self._try = this

    def whole(self) -> bytes | None:
        body = self._body.whole()
        if body is not None:
            self._try.end(SUCCESS)
        return body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            self._try.end(SUCCESS)
            raise
        except UpstreamBroke as fault:
            self._try.end(fault.outcome)
            raise

    async def close(self) -> None:
        """An answer that came whole is a success, even if the client did not stay for it."""
        try:
            self._try.end(SUCCESS if self._body.ended else ABANDONED)
        finally:
            await self._body.release()


class _OnceStream:
    """A client's body stream, and whether anything was taken from it."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(source)
        self.begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        return await anext(self._chunks)
