"""How a process becomes an instance of a service. Three ways in:

* `register(app, name=..., port=...)`: one line for an aiohttp application
* `Registered(registrar, registration)`: a context manager for everything else in Python
* `run_registered(...)`: any program, whatever it is written in
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import NoReturn

import structlog
from aiohttp import web

from registry.backends import load_backend
from registry.backends.base import BackendSettings, Registration
from registry.model import InstanceId, ServiceName
from registry.names import instance_id, is_registrable_id, is_service_name
from registry.runtime.program import run_registered
from registry.runtime.registered import Registered
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

__all__ = ["Registered", "register", "run_registered"]

log = structlog.get_logger()


def register(
    app: web.Application,
    *,
    name: str,
    port: int,
    id: str | None = None,
    address: str = "",
    consul: str = "127.0.0.1:8500",
    fallbacks: Iterable[str] = (),
    token: str = "",
    tags: Iterable[str] = (),
    meta: Mapping[str, str] | None = None,
    ttl_s: float | None = 10.0,
    check_http: str | None = None,
    weight: int = 1,
    propagation_s: float = 1.0,
) -> None:
    """Registers the application while it runs: from when it listens until it is told to stop.

    SIGTERM and SIGINT first deregister it, then give every reader `propagation_s` to hear of it, and
    only then stop the application: no new call arrives at a closed door. A second signal stops at once.
    That is for `web.run_app`; under another runner the application deregisters when it shuts down.

    While the agent at `consul` does not answer, it is registered with the next one of `fallbacks`.

    The agent feeds on a TTL (`ttl_s`), or asks `check_http` when that is given. An agent that is down
    is tried again in the background. Raises `ValueError` for a name, id or port that can't be used.
    """
    instance = id or instance_id(name, address or socket.gethostname(), port)
    if not is_service_name(name):
        raise ValueError(f"name: {name!r} is no service name (letters, digits, '.', '_' and '-')")
    if not is_registrable_id(instance):
        raise ValueError(f"id: {instance!r} can't be registered (letters, digits and '._:@-')")
    if not 1 <= port <= 65535:
        raise ValueError(f"port: {port} is not in 1 to 65535; it must be the real one, not 0")
    registration = Registration(
        id=InstanceId(instance),
        service=ServiceName(name),
        port=port,
        address=address,
        tags=tuple(tags),
        meta=dict(meta or {}),
        ttl_s=None if check_http is not None else ttl_s,
        check_http=check_http,
        weight=weight,
    )
    settings = BackendSettings(address=consul, fallback_addresses=tuple(fallbacks), token=token)
    membership = _Membership(settings, registration, propagation_s)
    app.cleanup_ctx.append(membership.lifetime)
    app.on_shutdown.append(membership.withdraw)


class _Membership:
    """What hangs on one application."""

    def __init__(self, settings: BackendSettings, registration: Registration, propagation_s: float) -> None:
        self._settings = settings
        self._registration = registration
        self._propagation_s = propagation_s
        self._registered: Registered | None = None

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        listening_at = (self._registration.address or "127.0.0.1", self._registration.port)
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(load_backend("consul")(self._settings))
            assert backend.registrar is not None
            self._registered = await stack.enter_async_context(
                Registered(backend.registrar, self._registration, listening_at=listening_at)
            )
            tasks = Tasks(lambda name, error: log.error("task_died", task=name, trace=trace_of(error)))
            stack.push_async_callback(tasks.close)
            stack.enter_context(self._leaving_first(tasks))
            yield

    async def withdraw(self, _: web.Application) -> None:
        """Before connections are closed, also when no signal came."""
        if self._registered is not None:
            await self._registered.withdraw()

    @contextmanager
    def _leaving_first(self, tasks: Tasks) -> Iterator[None]:
        """Takes the stop signals over from `web.run_app`, which has set its handlers just before."""
        loop = asyncio.get_running_loop()
        begun = False

        def on_signal() -> None:
            nonlocal begun
            if begun:
                _stop()
            begun = True
            tasks.start("leave", self._leave())

        taken = (signal.SIGTERM, signal.SIGINT) if _loop_handles(signal.SIGTERM) else ()
        for number in taken:
            loop.add_signal_handler(number, on_signal)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)

    async def _leave(self) -> None:
        assert self._registered is not None
        await self._registered.withdraw()
        await asyncio.sleep(self._propagation_s)
        # In a callback, where it ends the loop: a task would keep it as its own result.
        asyncio.get_running_loop().call_soon(_stop)


def _stop() -> NoReturn:
    """What the handlers of `web.run_app` do."""
    raise web.GracefulExit


def _loop_handles(number: signal.Signals) -> bool:
    """Whether somebody here handles that signal; else it is not ours to take over."""
    return signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None)
