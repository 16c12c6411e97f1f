"""What carries one request to one instance, how a call ends, and who is told of it.

Narrow on purpose: `Upstream` says nothing of what carries the bytes, and every fault leaves it as an
`Outcome`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from balancer.budget import RetryLedger
from balancer.circuit import State
from balancer.model import Failed, Headers, OutboundRequest, Refused, Timeouts
from balancer.outcome import Outcome
from balancer.runtime.bodies import WholeBody
from balancer.runtime.tunnel import End as TunnelEnd
from registry.model import Instance, ServiceName


class AnswerBody(Protocol):
    """The body of an answer, read once: by `whole()` when it is all there, else by iterating."""

    def whole(self) -> bytes | None:
        """All of it, when the instance has sent all of it already; `None` when it must be read in pieces."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes:
        """The next piece that has arrived. Raises `UpstreamBroke` when the body is cut short."""
        ...


class LeasedBody(AnswerBody, Protocol):
    """A body with the connection it comes from."""

    @property
    def ended(self) -> bool:
        """The instance has sent all of it, read or not."""
        ...

    def take_over(self, end: TunnelEnd) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the transport, whose protocol is `end` now, and what came behind the answer's head."""
        ...

    async def release(self) -> None:
        """Gives the connection back, or closes it when the body has not ended. Call it always."""
        ...


@dataclass(slots=True)
class UpstreamAnswer:
    """The head of an answer as it came, and its body. Whoever has a `LeasedBody` releases it."""

    status: int
    reason: bytes
    headers: Headers
    body: LeasedBody | WholeBody
    eject: bytes | None = None
    """The value of `X-Quaymaster-Eject`, if the instance sent it."""


class Upstream(Protocol):
    async def send(
        self,
        instance: Instance,
        request: OutboundRequest,
        timeouts: Timeouts,
        *,
        repeatable: bool,
        budget: RetryLedger | None = None,
    ) -> UpstreamAnswer:
        """Sends the request and returns when the head of the answer is there.

        `timeouts.total_s` is what is left of the whole call. `repeatable`: it may be sent again although it
        may have been executed, as far as `budget` has room for that. Raises `UpstreamFailed`.
        """
        ...


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
    """Is told of what happens while calls are carried out. Must not raise.

    Observers inherit from it, for what they have no use for.
    """

    def tried(
        self,
        service: ServiceName,
        instance: Instance,
        outcome: Outcome,
        status: int | None,
        seconds: float,
    ) -> None:
        """A try has ended so."""
        del service, instance, outcome, status, seconds

    def retried(self, service: ServiceName, reason: str) -> None:
        """A try begins after a failed one; `reason` is the failure's label."""
        del service, reason

    def refused_retry(self, service: ServiceName) -> None:
        """A failed call would have been tried again, but the service's retry budget is used up."""
        del service

    def hedged(self, service: ServiceName, won: bool) -> None:
        """A second try of a slow call has ended; whether it was answered first."""
        del service, won

    def circuit(self, service: ServiceName, state: State) -> None:
        """The circuit of the service has changed to `state`."""
        del service, state
