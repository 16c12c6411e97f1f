"""The records of a service's instances: who gets one, and when it is forgotten.

Rules of this file: a record belongs to an instance's key (id and incarnation), so a process that was
restarted starts clean, and one that the catalogue forgets for a moment keeps what is known of it.
"""

from collections.abc import Collection, Iterator
from math import inf

from balancer.record import Record
from balancer.slow_start import HICCUP_S, is_new
from registry.model import Instance, InstanceKey

MAX_DEPARTED = 4096
"""Kept of instances that are not there, at most."""


class Records:
    """Of one service, by instance key."""

    def __init__(self, max_departed: int = MAX_DEPARTED) -> None:
        self._max_departed = max_departed
        self._room = max_departed
        self._records: dict[InstanceKey, Record] = {}
        self.usable = 0
        """How many instances the last view held that can be used."""
        self.get = self._records.get

    def of(self, instance: Instance) -> Record:
        """Its record, a new one if nothing is known of it."""
        record = self._records.get(instance.key)
        if record is None:
            if len(self._records) >= self._room:
                oldest = next(record for record in self if not record.here)
                del self._records[oldest.instance.key]
            record = self._records[instance.key] = Record(instance)
        return record

    def follow(self, instances: Collection[Instance], now: float) -> None:
        """The registry's view has changed. Who is new then starts slowly, but for a service's first view."""
        first = not any(record.here for record in self)
        for record in self:
            record.here = False
        self._room = len(self._records) + len(instances) + self._max_departed
        self.usable = 0
        for instance in instances:
            record = self.of(instance)
            record.instance, record.here = instance, True
            if not instance.usable:
                record.left_at = min(record.left_at, now)
                continue
            self.usable += 1
            if not record.usable and not first and is_new(record.left_at, now):
                record.new_at = now
            record.left_at = inf
        self._room = len(instances) + self._max_departed
        self._forget(now)

    def _forget(self, now: float) -> None:
        departed = [record for record in self if not record.here]
        surplus = len(departed) - self._max_departed
        for at, record in enumerate(departed):
            record.left_at = min(record.left_at, now)
            if at < surplus or now - record.left_at > HICCUP_S:
                del self._records[record.instance.key]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __contains__(self, record: Record) -> bool:
        return self._records.get(record.instance.key) is record

    def __len__(self) -> int:
        return len(self._records)
