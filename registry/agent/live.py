"""The catalogue with all that follows from a change: journal, probes, waiters, and what falls due."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog

from registry.agent.catalog import Catalog
from registry.agent.checks import Prober
from registry.agent.definitions import CheckDefinition, RegisterBody
from registry.agent.journal import Journal
from registry.agent.records import Change, DropCheck, DropService, PutCheck, Refused
from registry.agent.waiting import Waiting

STALLED_S = 1.0
"""Later than that a timer only is when this process could not run."""

log = structlog.get_logger()


class LiveCatalog:
    """Each method changes the catalogue at once and returns when the journal has the change.

    Raises `JournalError` when it can't be written: the change then holds until the agent stops.
    """

    def __init__(
        self,
        catalog: Catalog,
        prober: Prober,
        waiting: Waiting,
        journal: Journal | None,
        clock: Callable[[], float],
    ) -> None:
        self.catalog = catalog
        self._prober = prober
        self._waiting = waiting
        self._journal = journal
        self._clock = clock
        self._planned = math.inf
        self._sooner = asyncio.Event()

    async def register(self, body: RegisterBody, *, replace_checks: bool = False) -> Refused | None:
        return await self._settle(
            self.catalog.register(body.service, body.checks, self._clock(), replace_checks=replace_checks)
        )

    async def deregister(self, service_id: str) -> None:
        await self._settle(self.catalog.deregister(service_id))

    async def add_check(self, check: CheckDefinition) -> Refused | None:
        return await self._settle(self.catalog.add_check(check, self._clock()))

    async def remove_check(self, check_id: str) -> None:
        await self._settle(self.catalog.remove_check(check_id))

    async def maintenance(self, service_id: str, *, enable: bool, reason: str) -> Refused | None:
        return await self._settle(
            self.catalog.maintenance(service_id, enable=enable, reason=reason, now=self._clock())
        )

    def feed(self, check_id: str, status: str, output: str) -> Refused | None:
        """A service's own word on a TTL check. Not journaled: it is news of this moment only."""
        refused = self.catalog.feed(check_id, status, output, self._clock())
        self._tell()
        return refused

    def observe(self, check_id: str, status: str, output: str) -> None:
        """A probe's word on its check."""
        self.catalog.observe(check_id, status, output, self._clock())
        self._tell()

    def restore(self) -> None:
        """Takes over what the journal kept, and starts the probes."""
        if self._journal is None:
            return
        saved = self._journal.saved
        self.catalog.restore(saved.services, saved.checks, self._clock())
        for check in self.catalog.checks():
            self._prober.watch(check.definition)

    async def keep_time(self) -> NoReturn:
        """Does what falls due, for ever: TTLs that end, services that were critical for too long."""
        while True:
            self._planned = self.catalog.soonest
            self._sooner.clear()
            left_s = None if self._planned == math.inf else max(0.0, self._planned - self._clock())
            try:
                async with asyncio.timeout(left_s):
                    await self._sooner.wait()
            except TimeoutError:
                self._fall_due()

    def _fall_due(self) -> None:
        now = self._clock()
        if (late_s := now - self._planned) > STALLED_S:
            # The heartbeats of that time lie unread in the sockets: their senders are not dead.
            log.warning("agent_stalled", seconds=round(late_s, 3))
            self.catalog.excuse(late_s + STALLED_S)
        changes = self.catalog.expire(now)
        for change in changes:
            if isinstance(change, DropService):
                log.warning("critical_service_deregistered", id=change.id)
        self._follow(changes)
        if changes and self._journal is not None:
            # Not awaited: a disk that hangs must not keep the other TTLs from ending. A service whose
            # removal is not saved comes back after a restart, and falls due again.
            self._journal.submit(changes)

    async def _settle(self, changes: Sequence[Change] | Refused) -> Refused | None:
        if isinstance(changes, Refused):
            return changes
        self._follow(changes)
        if changes and self._journal is not None:
            await self._journal.write(changes)
        return None

    def _follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, PutCheck):
                self._prober.watch(change.check)
            elif isinstance(change, DropCheck):
                self._prober.forget(change.id)
        self._tell()

    def _tell(self) -> None:
        self._waiting.notify()
        if self.catalog.soonest < self._planned:
            self._sooner.set()
