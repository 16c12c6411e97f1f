"""Keeps one instance registered for as long as its process lives.

Register, heartbeat, register again when the agent has forgotten, deregister at the end. An agent that
is down is tried again and again, and never keeps the process from its work.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Self

import structlog

from registry.backends.base import Registrar, Registration
from registry.backoff import CAP_S, full_jitter
from registry.model import Health, NotRegistered, RegistryError
from registry.runtime.probe import accepts_connections
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

STILL_THERE_EVERY_S = 10.0
"""How often the agent is asked about an instance that it checks itself."""
CALL_S = (0.5, 5.0)
"""Between these lies the patience with one call to the agent; a third of the TTL if it can be."""
ENTER_S = 1.0
"""How long entering waits for the first registration."""
LISTEN_S = 10.0
"""How long a registration waits until its port accepts connections."""


class Registered:
    """An async context manager around the life of an instance.

    With `listening_at`, the instance is registered once somebody accepts connections there (or after
    ten seconds, as the address may not be reachable from here), and entering does not wait for it.
    The meta gets `incarnation`, the start in unix milliseconds, unless it has one.
    """

    def __init__(
        self,
        registrar: Registrar,
        registration: Registration,
        *,
        listening_at: tuple[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        started_ms = str(time.time_ns() // 1_000_000)
        self.registration = replace(registration, meta={"incarnation": started_ms} | registration.meta)
        self._registrar = registrar
        self._listening_at = listening_at
        self._clock = clock
        self._rng = rng or Random()
        fed = registration.ttl_s is not None and registration.check_http is None
        self._beat_s = (registration.ttl_s or 0.0) / 3 if fed else STILL_THERE_EVERY_S
        self._call_s = min(max(self._beat_s, CALL_S[0]), CALL_S[1])
        self._tried = asyncio.Event()
        self._leaving = asyncio.Event()
        self._withdrawing = asyncio.Lock()
        self._maybe_there = False
        self._there = False
        self._failure: str | None = None
        self._tasks = Tasks(lambda name, error: log.error("task_died", task=name, trace=trace_of(error)))
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = self._tasks.start(f"register {self.registration.id}", self._keep())
        if self._listening_at is None:
            try:
                async with asyncio.timeout(ENTER_S):
                    await self._tried.wait()
            except TimeoutError:
                pass  # a slow agent: it goes on in the background
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.withdraw()
        finally:
            await self._tasks.close()

    @property
    def registered(self) -> bool:
        """Whether the agent knew the instance when it was last asked."""
        return self._there

    async def withdraw(self) -> None:
        """Deregisters, now and for good. Never raises a `RegistryError`; further calls do nothing more."""
        self._leaving.set()
        async with self._withdrawing:
            if self._keeper is not None:
                # Not cancelled: a register call that the agent is still working on would undo this.
                await asyncio.wait([self._keeper])
            if not self._maybe_there:
                return
            self._there = False
            try:
                async with asyncio.timeout(CALL_S[1]):
                    await self._registrar.deregister(self.registration.id)
            except (RegistryError, TimeoutError) as error:
                log.warning("deregister_failed", instance=self.registration.id, detail=str(error))
            else:
                log.info("deregistered", instance=self.registration.id)
            self._maybe_there = False  # not before: a cancelled try must be made again

    async def hand_over(self) -> None:
        """Leaves the instance registered and stops keeping it so: another process has begun to."""
        self._leaving.set()
        async with self._withdrawing:
            if self._keeper is not None:
                await asyncio.wait([self._keeper])
            self._maybe_there = False

    async def _keep(self) -> None:
        await self._until_listening()
        failures = 0
        while not self._leaving.is_set():
            started = self._clock()
            pause_s = self._beat_s
            try:
                async with asyncio.timeout(self._call_s):
                    await (self._beat() if self._there else self._register())
            except NotRegistered as error:
                pause_s = 0.0 if self._there else full_jitter(failures := failures + 1, self._rng)
                self._there = False
                self._failed(error)
            except Exception as error:  # noqa: BLE001 without this task the service would be out of use
                pause_s = full_jitter(failures := failures + 1, self._rng, cap_s=min(CAP_S, self._beat_s))
                self._failed(error)
            else:
                failures, self._failure = 0, None
            self._tried.set()
            await self._rest(pause_s - (self._clock() - started))

    async def _register(self) -> None:
        self._maybe_there = True
        await self._registrar.register(self.registration)
        self._there = True
        log.info("registered", service=self.registration.service, instance=self.registration.id)

    async def _beat(self) -> None:
        await self._registrar.heartbeat(self.registration.id, Health.PASSING)

    async def _until_listening(self) -> None:
        if self._listening_at is None:
            return
        host, port = self._listening_at
        deadline = self._clock() + LISTEN_S
        while not self._leaving.is_set() and not await accepts_connections(host, port):
            if self._clock() >= deadline:
                log.warning("nobody_listens", instance=self.registration.id, host=host, port=port)
                return
            await self._rest(0.05)

    async def _rest(self, seconds: float) -> None:
        """Waits, but not longer than until it is time to leave."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._leaving.wait()
        except TimeoutError:
            pass

    def _failed(self, error: Exception) -> None:
        """Says each kind of trouble once, not with every try."""
        reason = error.reason if isinstance(error, RegistryError) else type(error).__name__
        if reason != self._failure:
            expected = isinstance(error, RegistryError | TimeoutError)
            log.warning(
                "registration_failed",
                instance=self.registration.id,
                reason=reason,
                detail=str(error),
                trace=None if expected else trace_of(error),
            )
        self._failure = reason

    def __repr__(self) -> str:
        state = "registered" if self._there else f"not registered ({self._failure or 'not yet'})"
        return f"<Registered {self.registration.id}: {state}>"
