"""The file of the last good state: read once at the start, written after changes, never half.

It is written in a thread, to a name of its own that then replaces the old one. A disk that is full costs a
warning and a count; what lies there stays.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from registry.runtime.clock import unix_now
from registry.snapshot_codec import Saved, Unusable, decode, encode

log = structlog.get_logger()

EVERY_S = 1.0
"""Not more often, however much changes."""
REFRESH_S = 30.0
"""Also when nothing changes: that the registry has said so again makes the state younger."""
MAX_BYTES = 256 * 1024 * 1024


class SnapshotFile:
    """One file. `origin` says which registry, read under which rules, the state comes from."""

    def __init__(
        self, path: str, origin: str, max_age_s: float = 600.0, *, unix_clock: Callable[[], float] = unix_now
    ) -> None:
        self._path = Path(path)
        self._origin = origin
        self.max_age_s = max_age_s
        self.unix_clock = unix_clock
        self._changed = asyncio.Event()
        self._failing = False
        self.written_at: float | None = None
        """Unix seconds of the last write by this process."""
        self.failures = 0

    async def load(self) -> Saved | None:
        """What the file says, if there is one, of this user, that can be believed. Raises no `OSError`."""
        try:
            raw = await asyncio.to_thread(self._read)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("unreadable", str(error))
            return None
        saved = await asyncio.to_thread(decode, raw, self._origin, self.unix_clock(), self.max_age_s)
        if isinstance(saved, Unusable):
            self._warn(saved.reason, saved.detail)
            return None
        log.info("snapshot_read", file=str(self._path), services=len(saved.services))
        return saved

    def changed(self) -> None:
        """Asks `keep` to write soon."""
        self._changed.set()

    async def keep(self, take: Callable[[], Saved | None]) -> None:
        """Writes what `take` returns, after changes and from time to time, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            if (saved := take()) is not None:
                await self.save(saved)
            await asyncio.sleep(EVERY_S)

    async def save(self, saved: Saved) -> None:
        """Replaces the file. A failure is counted, and said once."""
        try:
            await asyncio.to_thread(self._write, saved)
        except OSError as error:
            self.failures += 1
            if not self._failing:
                log.warning("snapshot_not_written", file=str(self._path), detail=str(error))
            self._failing = True
        else:
            self.written_at = self.unix_clock()
            self._failing = False

    def age_s(self) -> float | None:
        """Seconds since this process last wrote it."""
        return None if self.written_at is None else max(0.0, self.unix_clock() - self.written_at)

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            owner, mine = os.fstat(file.fileno()).st_uid, os.geteuid()
            if owner != mine:  # who could send calls anywhere, by naming instances
                fix = "remove it, or move registry.snapshot_file to a directory of its own"
                raise PermissionError(f"it belongs to user {owner}, and this process runs as {mine}: {fix}")
            return file.read(MAX_BYTES)

    def _write(self, saved: Saved) -> None:
        raw = encode(saved, self._origin)
        mine = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            mine.unlink(missing_ok=True)
            with open(mine, "wb", opener=_new_and_private) as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            mine.replace(self._path)
        finally:
            mine.unlink(missing_ok=True)

    def _warn(self, reason: str, detail: str) -> None:
        log.warning("snapshot_not_used", file=str(self._path), reason=reason, detail=detail)


def _new_and_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
