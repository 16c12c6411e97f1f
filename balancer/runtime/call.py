"""Carries calls out: choose, send, finish, and again if that is allowed.

The balancer owns what is counted (loads, and a ledger for each service) and decides nothing itself. Every
lease that is started here ends exactly once, however the call ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random

from tenacity import AsyncRetrying, RetryCallState, wait_exponential_jitter

from balancer.load import LoadLedger
from balancer.model import CallPolicy, Failed, OutboundRequest, Refused
from balancer.policy import ServicePolicy
from balancer.retry import LONGEST_WAIT_S
from balancer.runtime.base import Answer, End, Observer, Switched, Upstream
from balancer.runtime.one_call import Call
from balancer.runtime.shared import Shared
from balancer.selection import choose
from balancer.service import ServiceLedger, ServiceLedgers, ServiceState
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot

__all__ = ["Answer", "Balancer", "End", "InstanceLoad", "Observer", "Switched"]

BASE_WAIT_S = 0.025
_backing_off = wait_exponential_jitter(multiplier=BASE_WAIT_S, jitter=BASE_WAIT_S, max=LONGEST_WAIT_S)


def _wait_s(state: RetryCallState) -> float:
    """Before a third try and later ones. Whom nothing was sent to has nothing to recover from."""
    end = state.outcome and state.outcome.result()
    return 0.0 if isinstance(end, Failed) and not end.outcome.sent else _backing_off(state)


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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observer: Observer | None = None,
    ) -> None:
        self.clock = clock
        self.ledger = LoadLedger()
        self._services = ServiceLedgers(policies, rng)
        self.shared = Shared(
            snapshots=snapshots,
            upstream=upstream,
            clock=clock,
            observer=observer,
            loads=self.ledger,
            services=self._services,
            retrying=AsyncRetrying(
                wait=_wait_s,
                sleep=sleep,
            ),
            sleep=sleep,
        )

    def call(
        self, policy: CallPolicy, request: OutboundRequest, only: Instance | None = None
    ) -> AbstractAsyncContextManager[End]:
        """Sends the request, to other instances too as far as `policy` allows; or to `only` that one.

        The instance counts as busy until the answer's body has ended or the context is left. A body
        that the context leaves unread is given up with its connection.
        """
        return Call(self.shared, policy, request, only)

    def hand_out(
        self, snapshot: ServiceSnapshot, ttl_s: float, exclude: frozenset[InstanceId] = frozenset()
    ) -> Instance | Refused:
        """An instance for a caller that connects by itself; it counts as one connection for `ttl_s`."""
        now = self.clock()
        service = self.shared.ledger_for(snapshot.service, snapshot)
        if isinstance(service, Refused):
            return service
        chosen = choose(
            snapshot, service.eligible, self.ledger, service.strategy, exclude, b"", now, hand_out=True
        )
        if isinstance(chosen, Refused):
            return chosen
        self.ledger.hand_out(chosen, now, ttl_s)
        return chosen

    def loads(self, service: ServiceName) -> tuple[InstanceLoad, ...]:
        """Every instance of the service as it is known now."""
        now = self.clock()
        load_of, known = self.ledger.at(now), self._services.of_known(service)
        return tuple(
            InstanceLoad(i.id, load_of(i), known is not None and known.eligible.aside(i, now))
            for i in self.shared.snapshots(service).instances
        )

    def service(self, name: ServiceName) -> ServiceLedger:
        """The ledger of that service, a new one if nothing is known of it."""
        return self._services.of(name)

    def known(self, name: ServiceName) -> ServiceLedger | None:
        """The ledger of that service, if it has one."""
        return self._services.of_known(name)

    def service_states(self) -> tuple[ServiceState, ...]:
        """How calls go, of every service that was called."""
        return tuple(self._services.states())

    def follow(self, policies: Mapping[ServiceName, ServicePolicy]) -> None:
        """Takes new policies; what is known of services and instances stays."""
        self._services.follow(policies)

    def __repr__(self) -> str:
        return f"<Balancer: {self.ledger!r}, {len(self._services)} services>"
