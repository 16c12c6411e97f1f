"""What the calls of one balancer have in common."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying

from balancer.load import LoadLedger
from balancer.model import Refused
from balancer.runtime.base import Observer, Upstream
from balancer.selection import refusal
from balancer.service import ServiceLedger, ServiceLedgers
from registry.model import ServiceName, ServiceSnapshot


@dataclass(slots=True)
class Shared:
    """Owned by the balancer; used from one event loop only."""

    snapshots: Callable[[ServiceName], ServiceSnapshot]
    upstream: Upstream
    clock: Callable[[], float]
    observer: Observer | None
    loads: LoadLedger
    services: ServiceLedgers
    retrying: AsyncRetrying
    sleep: Callable[[float], Awaitable[None]]

    def ledger_for(
        self, name: ServiceName, snapshot: ServiceSnapshot | None = None
    ) -> ServiceLedger | Refused:
        """The service's ledger, or why nobody can be chosen there."""
        known = self.services.of_known(name)
        if known is not None:
            return known
        # A service that nobody can be chosen of must not cost another one its ledger.
        return refusal(snapshot or self.snapshots(name)) or self.services.of(name)
