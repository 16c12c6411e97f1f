"""The gateway's side of the registry: what it watches there, and its own entry."""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.runtime.rules import StartFailed
from gateway.settings import Settings
from registry.backends import load_backend
from registry.backends.base import Backend, Registration
from registry.model import RegistryError, ServiceName
from registry.names import instance_id
from registry.runtime.registration import Registered
from registry.runtime.snapshot_file import SnapshotFile
from registry.runtime.watcher import Watcher

EVERYWHERE = {"0.0.0.0", "::", ""}
WATCHDOG_SLACK_S = 10.0
"""Beyond the longest silence a blocking query may keep, before its watch counts as broken."""


@dataclass(frozen=True, slots=True)
class Discovery:
    backend: Backend
    watcher: Watcher
    gateways: ServiceName | None
    """The name of the gateways, where others hand out our seats."""

    def follow(self, before: Settings, settings: Settings) -> None:
        """Watches what these settings name, and no more what only those before did."""
        fixed = settings.fixed_addresses()
        self.watcher.follow_fixed(self.backend.follow_fixed(fixed), fixed)
        for name in before.services.keys() - settings.services.keys():
            self.watcher.unpin(ServiceName(name))
        self.pin_all(settings)
        self.watcher.follow_checks(settings.health_checks())

    def pin_all(self, settings: Settings) -> None:
        needed = list(settings.services)
        if settings.handlers is not None:
            needed += settings.handlers.service_keys().values()
        if self.gateways is not None:
            needed.append(self.gateways)
        for name in needed:
            self.watcher.pin(ServiceName(name))

    def registered(self, settings: Settings, port: int) -> Registered | None:
        """The gateway's own entry, to be opened once it listens at `port`; `None` where it has none."""
        registry, host = settings.registry, settings.listen.host
        if registry.register_as is None or self.backend.registrar is None:
            return None
        address = registry.advertise_address or ("" if host in EVERYWHERE else host)
        registration = Registration(
            id=instance_id(registry.register_as, address or socket.gethostname(), port),
            service=ServiceName(registry.register_as),
            port=port,
            address=address,
        )
        return Registered(self.backend.registrar, registration)


@asynccontextmanager
async def opened_discovery(settings: Settings, rng: random.Random) -> AsyncIterator[Discovery]:
    """Watches what the settings name. Raises `StartFailed` where the registry can't be."""
    async with AsyncExitStack() as stack:
        registry, fixed = settings.registry, settings.fixed_addresses()
        try:
            opening = load_backend(registry.backend)(registry.backend_settings(fixed))
            backend = await stack.enter_async_context(opening)
        except RegistryError as error:
            raise StartFailed(str(error)) from error
        file, origin = registry.snapshot_file, registry.backend_settings({}).origin
        watcher = Watcher(
            backend.watch,
            suspect_s=registry.suspect_s,
            silent_after_s=registry.wait_s * 17 / 16 + WATCHDOG_SLACK_S,
            checks=settings.health_checks(),
            snapshot_file=SnapshotFile(file, origin, registry.snapshot_max_age_s) if file else None,
            unsaved=fixed,
            rng=rng,
        )
        discovery = Discovery(backend, watcher, _gateways_name(settings, backend))
        discovery.pin_all(settings)
        await stack.enter_async_context(watcher)
        yield discovery


def _gateways_name(settings: Settings, backend: Backend) -> ServiceName | None:
    """Under which name to look for the other gateways; `None` where none hands out our seats."""
    if settings.handlers is None or not settings.store.shared or backend.registrar is None:
        return None
    name = settings.registry.register_as
    return None if name is None else ServiceName(name)
