"""The registry's services and those with fixed addresses, as one view."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from registry.model import ServiceName, ServiceSnapshot
from registry.runtime.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Discovery:
    """Two watchers: `fixed` for the services of the settings that name their instances."""

    registered: Watcher
    fixed: Watcher
    fixed_names: frozenset[ServiceName]

    def pin(self, services: Iterable[ServiceName]) -> None:
        for service in services:
            self._of(service).pin(service)

    def current(self, service: ServiceName) -> ServiceSnapshot:
        return self._of(service).current(service)

    async def ask(self, service: ServiceName) -> ServiceSnapshot:
        """The first ask of a service nobody watches yet may wait a moment; see `Watcher.ask`."""
        return await self._of(service).ask(service)

    def subscribe(self, service: ServiceName, listener: Callable[[ServiceSnapshot], None]) -> None:
        self._of(service).subscribe(service, listener)

    def snapshots(self) -> list[ServiceSnapshot]:
        """Every watched service, by name."""
        every = [*self.registered.snapshots().values(), *self.fixed.snapshots().values()]
        return sorted(every, key=lambda snapshot: snapshot.service)

    @property
    def ready(self) -> bool:
        """Whether every service of the settings has been answered for once."""
        return self.registered.ready and self.fixed.ready

    def _of(self, service: ServiceName) -> Watcher:
        return self.fixed if service in self.fixed_names else self.registered
