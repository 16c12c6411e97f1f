"""Expires holds while nobody asks for seats, so that what operators see is true then too.

Allocation never depends on it: the store settles what has run out at the start of every call.
"""

import asyncio
from types import TracebackType

import structlog

from handlers.outage import Mode
from handlers.runtime.allocator import Allocator
from handlers.stores.base import StoreUnreachable
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()


class Sweeper:
    """Async context manager: sweeps every `period_s` while it is open, and every `probe_s` while the store
    is not relied on, to find out soon that it may be again."""

    def __init__(self, allocator: Allocator, *, period_s: float = 1.0, probe_s: float = 0.25) -> None:
        self._allocator = allocator
        self._period_s = period_s
        self._probe_s = probe_s
        self._tasks = Tasks(self._died)

    async def __aenter__(self) -> "Sweeper":
        self._tasks.start("seat sweeper", self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()

    async def _run(self) -> None:
        skipped = 0
        while True:
            exact = self._allocator.mode is Mode.EXACT
            await asyncio.sleep(self._period_s if exact else self._probe_s)
            try:
                await self._allocator.sweep()
            except StoreUnreachable:
                if skipped == 0:
                    log.warning("sweep_skipped", reason="store_unreachable")
                skipped += 1
            else:
                if skipped:
                    log.info("sweeps_again", skipped=skipped)
                skipped = 0

    def _died(self, name: str, error: BaseException) -> None:
        """A bug at one sweep must not end them: the next may be good, and none comes before its time."""
        log.error("task_died", task=name, trace=trace_of(error))
        self._tasks.start(name, self._run())
