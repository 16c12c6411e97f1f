"""What the last run of this program knew, until the registry answers; and what the next run is to know.

A service that nobody has needed since the start stays as it was read, to be written again. It grows old
meanwhile: a service may be asked for days after the start.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from registry.last_state import in_this_process, resumed, worth_saving
from registry.merge import Known
from registry.model import ServiceName
from registry.runtime.snapshot_file import SnapshotFile
from registry.snapshot_codec import Saved


class NamesThen(NamedTuple):
    """The names of all services, as the registry last told them."""

    names: frozenset[ServiceName]
    answered_at: float
    """On this process's own clock."""


class LastRun:
    """Without a `file` nothing is known and nothing is kept.

    `without` are services that the settings know better than any file.
    """

    def __init__(
        self, file: SnapshotFile | None, without: Collection[ServiceName], clock: Callable[[], float]
    ) -> None:
        self.file = file
        self._without = frozenset(without)
        self._clock = clock
        self._known: dict[ServiceName, Known] = {}

    async def read(self) -> NamesThen | None:
        """Reads the file, if there is one that can be believed."""
        if self.file is None or (saved := await self.file.load()) is None:
            return None
        now, unix_now = self._clock(), self.file.unix_clock()
        self._known = resumed(saved, self._without, now=now, unix_now=unix_now)
        return NamesThen(saved.names, in_this_process(saved.names_at, now, unix_now))

    def knows(self, service: ServiceName) -> bool:
        """Whether `take` would return it."""
        known = self._known.get(service)
        return known is not None and not self._is_too_old(known)

    def take(self, service: ServiceName) -> Known | None:
        """What was known of a service, unless that has become too old. Each can be taken once."""
        known = self._known.pop(service, None)
        return None if known is None or self._is_too_old(known) else known

    def leave_out(self, without: Collection[ServiceName], forget: Collection[ServiceName] = ()) -> None:
        """From now on these are `without`. What was known of those to `forget` is of no worth any more."""
        self._without = frozenset(without)
        for service in forget:
            self._known.pop(service, None)

    def worth_saving(
        self,
        watched: Mapping[ServiceName, Known],
        names: frozenset[ServiceName],
        names_at: float | None,
    ) -> Saved | None:
        """What is known by now, with what nobody has needed yet; `None` when that is nothing."""
        assert self.file is not None
        return worth_saving(
            {**self._known, **watched},
            names,
            names_at,
            self._without,
            now=self._clock(),
            unix_now=self.file.unix_clock(),
        )

    def changed(self) -> None:
        """Something is to be saved."""
        if self.file is not None:
            self.file.changed()

    def _is_too_old(self, known: Known) -> bool:
        age_s = known.snapshot.age_s(self._clock())
        return self.file is None or age_s is None or age_s > self.file.max_age_s

    def __repr__(self) -> str:
        return f"<LastRun: {len(self._known)} services that nobody has needed yet>"
