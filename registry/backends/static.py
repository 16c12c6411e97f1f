"""Services at fixed addresses: `http://host:port`, in no registry.

They come from the operator's own settings, so loopback is believed and `allowed_networks`, which is
about what a registry says, does not apply. Names are resolved again every 30 seconds. Next to a
registry, `FixedFirst` answers for the fixed services and lets the registry answer for all others. Settings
may change while it runs.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlsplit

from registry.addresses import address_policy
from registry.admission import Candidate, admit, names_to_resolve
from registry.backends.base import Backend, BackendSettings, Watch
from registry.backends.shared.resolver import Resolver
from registry.model import Failed, Gone, RegistryError, Seen, ServiceName, Update
from registry.names import is_service_name

RESOLVE_EVERY_S = 30.0
RESOLVE_AGAIN_S = 5.0
"""When something did not resolve."""

Fixed = Mapping[ServiceName, Sequence[Candidate]]


def read_url(url: str) -> Candidate:
    """The instance at `http://host:port` or `https://host:port`. Raises `ValueError` with the fix."""
    parts = urlsplit(url)
    fix = f"{url!r}: write http://host:port or https://host:port"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(fix)
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{fix}, with nothing after it")
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except ValueError:
        raise ValueError(fix) from None
    meta = {"scheme": "https"} if parts.scheme == "https" else {}
    return Candidate(f"{parts.hostname}:{port}", parts.hostname, port, meta=meta)


def read_fixed(static: Mapping[ServiceName, Sequence[str]]) -> Fixed:
    """The fixed services of the settings. Raises `RegistryError` for what can never work."""
    try:
        bad = next((name for name in static if not is_service_name(name)), None)
        if bad is not None:
            raise ValueError(f"{bad!r} is no service name")
        return {name: [read_url(url) for url in urls] for name, urls in static.items()}
    except ValueError as error:
        raise RegistryError(f"fixed addresses: {error}") from None


class FixedFirst:
    """A `Watch`: the fixed services, and behind them the registry's, if there is one."""

    def __init__(
        self,
        fixed: Fixed,
        resolver: Resolver,
        behind: Watch | None = None,
        *,
        every_s: float = RESOLVE_EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fixed = fixed
        self._resolver = resolver
        self._behind = behind
        self._every_s = every_s
        self._sleep = sleep
        self._policy = address_policy((), loopback=True)

    def follow(self, static: Mapping[ServiceName, Sequence[str]]) -> frozenset[ServiceName]:
        """As `FollowFixed`. A stream that is open already goes on as it began."""
        before, after = self._fixed, read_fixed(static)
        self._fixed = after
        return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))

    @property
    def index_resets(self) -> int:
        return self._behind.index_resets if self._behind else 0

    @property
    def failovers(self) -> int:
        return self._behind.failovers if self._behind else 0

    def watch(self, service: ServiceName) -> AsyncGenerator[Update, None]:
        if service in self._fixed or self._behind is None:
            return self._repeat(service)
        return self._behind.watch(service)

    async def _repeat(self, service: ServiceName) -> AsyncGenerator[Update, None]:
        while True:
            update = await self._read(service)
            yield update
            unresolved = isinstance(update, Seen) and update.quarantined
            await self._sleep(min(RESOLVE_AGAIN_S, self._every_s) if unresolved else self._every_s)

    async def _read(self, service: ServiceName) -> Seen | Gone:
        candidates = self._fixed.get(service)
        if not candidates:
            return Gone()
        resolved = await self._resolver.resolve(names_to_resolve(candidates, self._policy))
        return admit(service, candidates, resolved, self._policy)

    async def watch_names(self) -> AsyncGenerator[frozenset[ServiceName] | Failed, None]:
        if self._behind is None:
            while True:
                yield frozenset(self._fixed)
                await self._sleep(self._every_s)
        async with aclosing(self._behind.watch_names()) as behind:
            async for names in behind:
                yield names if isinstance(names, Failed) else names.union(self._fixed)


def speak_every_s(settings: BackendSettings) -> float:
    """No stream may be silent for longer than a blocking query: whoever follows it takes it for broken."""
    return min(RESOLVE_EVERY_S, settings.wait_s)


@asynccontextmanager
async def open_backend(settings: BackendSettings) -> AsyncGenerator[Backend, None]:
    """The services of `settings.static` and no others; nothing can be registered."""
    fixed = read_fixed(settings.static)
    async with Resolver() as resolver:
        watch = FixedFirst(fixed, resolver, every_s=speak_every_s(settings))
        yield Backend(watch, None, watch.follow)
