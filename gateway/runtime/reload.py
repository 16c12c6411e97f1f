"""Reads the settings again on SIGHUP and when their file changes, and puts them in force.

One reload at a time: what is asked for while one runs is one more after it. Settings that are refused
change nothing but the ledger, the log and the metric.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from gateway.reloading import ReloadLedger
from gateway.runtime.reply import now_iso
from gateway.runtime.rules import StartFailed
from gateway.runtime.settings_source import SettingsSource
from gateway.settings import Settings

log = structlog.get_logger()

LOOK_EVERY_S = 0.5
"""A change counts once two looks in a row have seen the same: a file may be written in pieces."""

Follow = Callable[[Settings], Awaitable[tuple[str, ...]]]
"""Puts settings in force and returns the keys that need a restart. Raises `StartFailed`, changing nothing."""


@dataclass(slots=True)
class Reloader:
    """`run` it for as long as settings may change."""

    source: SettingsSource
    follow: Follow
    ledger: ReloadLedger
    look_every_s: float = LOOK_EVERY_S
    _asked: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def ask(self) -> None:
        """Reads the settings soon, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        seen = self.source.read_as
        while True:
            asked = await self._asked_within(self.look_every_s)
            # In a thread: the file may stand on another machine's disk.
            before, seen = seen, await asyncio.to_thread(lambda: self.source.fingerprint)
            if asked or (seen == before and seen != self.source.read_as):
                await self.reload()

    async def reload(self) -> None:
        """Reads the settings and puts them in force, or says why they are not."""
        try:
            read = await asyncio.to_thread(self.source.read)
            if isinstance(read, str):
                self._refuse(read)
                return
            not_applied = await self.follow(read)
        except StartFailed as failed:
            self._refuse(str(failed))
            return
        except Exception:
            # A bug here must not end a gateway that serves.
            log.exception("reload_failed")
            self._refuse("the gateway failed at it; its log says where")
            return
        self.ledger.applied(now_iso(), not_applied)
        if not_applied:
            log.warning("settings_reloaded", need_a_restart=list(not_applied))
        else:
            log.info("settings_reloaded")

    def _refuse(self, error: str) -> None:
        self.ledger.refused(error)
        log.error("settings_refused", problems=error.splitlines(), in_force_since=self.ledger.loaded_at)

    async def _asked_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True
