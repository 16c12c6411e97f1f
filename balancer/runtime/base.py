"""What carries one request to one instance, and its answer back.

Narrow on purpose: it says nothing of what carries the bytes, and every fault leaves it as an `Outcome`.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from balancer.model import Headers, OutboundRequest, Timeouts
from balancer.runtime.bodies import WholeBody
from balancer.runtime.tunnel import End
from registry.model import Instance


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

    def take_over(self, end: End) -> tuple[asyncio.Transport, bytes]:
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


class Upstream(Protocol):
    async def send(
        self, instance: Instance, request: OutboundRequest, timeouts: Timeouts, *, repeatable: bool
    ) -> UpstreamAnswer:
        """Sends the request and returns when the head of the answer is there.

        `timeouts.total_s` is what is left of the whole call. `repeatable`: it may be sent again although it
        may have been executed. Raises `UpstreamFailed`.
        """
        ...
