"""One request on its way through the gateway: what is known of it so far.

Filled by dispatch.py in the order of the checks; read by endpoints, the access log and the metrics.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from balancer.model import CallTrace
from gateway.client_address import Client
from gateway.identity import User
from gateway.request_head import RequestHead
from gateway.runtime.client_request import ClientRequest
from gateway.target import Target

Pairs = tuple[tuple[str, str], ...]
NO_ROUTE = "none"
NOWHERE = Target("/", "", "")


class RequestSpan(CallTrace, Protocol):
    """The request as its trace shows it; it is told of the tries too."""

    @property
    def trace_id(self) -> str: ...
    def end(self, exchange: "Exchange", status: int) -> None:
        """The request is over; `status` is what its client was answered."""
        ...


@dataclass(slots=True)
class Exchange:
    request: ClientRequest
    head: RequestHead
    request_id: str
    started_at: float
    """Monotonic seconds."""
    target: Target = NOWHERE
    route: str = NO_ROUTE
    """The path of the route or endpoint, as in the settings: safe as a metric label."""
    user: User | None = None
    service: str | None = None
    instance: str | None = None
    decision: int = 0
    """Number of the decision which handler the client got, to be asked for at `/admin/handlers/decisions`."""
    attempts: int = 0
    quiet: bool = False
    """Not worth a line in the access log when all is well."""
    reason: str | None = None
    """Of the gateway's own error, if that is the answer."""
    version: str | None = None
    """Of the API, or the tag of the subset, that the call went to."""
    cache: str | None = None
    """How the cache of the route's answers was used: hit, miss, stale or bypass."""
    degraded: bool = False
    """Limits are not counted as they should be, because their store does not answer."""
    revokes: bool = False
    """After an answer below 400 the user's token is good no more."""
    refused_by: str = ""
    """The kind of limit that has refused it."""
    refused_for_s: float = 0.0
    """How long the same request is refused for sure."""
    on_undelivered: Callable[[], Awaitable[None]] | None = None
    """Undoes what was promised in an answer that did not get through to the client."""
    span: RequestSpan | None = None
    """`None` where nothing is traced."""
    headers: Pairs = ()
    """Goes out with whatever the answer is: CORS and rate limits."""
    clock: Callable[[], float] | None = None
    """What `started_at` was read from, where answers say how long they took."""

    @property
    def client(self) -> Client:
        return self.head.client

    @property
    def trace_id(self) -> str | None:
        """Of the trace that the request belongs to, whoever began it."""
        if self.span is not None:
            return self.span.trace_id
        context = self.head.trace.context
        return None if context is None else context.trace_id

    def header(self, name: str) -> str | None:
        return self.request.headers.get(name)

    def answer_headers(self, own: Pairs = ()) -> list[tuple[str, str]]:
        """An answer's own headers with those that every answer of this exchange carries."""
        headers = [*own, *self.headers, ("X-Request-Id", self.request_id)]
        if self.clock is not None:
            headers.append(("X-Process-Time", f"{self.clock() - self.started_at:.4f}"))
        return headers
