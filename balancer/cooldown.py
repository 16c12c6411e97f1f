"""Instances put aside because no connection could be made to them.

Why it is not optional: the dead instance always has the fewest connections, so least-connections
sends everything there (a naive gateway lost 23 % of its POSTs that way, RELIABILITY 1.4).

A cool-down only orders candidates, it never refuses a call: when all are cooling down, the one whose
cool-down ends first is tried all the same. Leaving an instance out for other failures than a missing
connection is a different decision and does not belong here.
"""

from dataclasses import dataclass

from balancer.outcome import Outcome, Phase
from registry.model import Instance, InstanceKey

FIRST_S = 1.0
LONGEST_S = 30.0
FORGET_AFTER_S = 60.0
"""A failure whose cool-down ended that long ago, and that nobody tried since, says nothing any more."""
MAX_ENTRIES = 4096


@dataclass(slots=True)
class _Cooling:
    step_s: float
    until: float
    probed: bool = False


class CooldownLedger:
    """Who is cooling down, until when. Owned by one balancer; `now` is monotonic seconds.

    The first failure costs 1 s, each further one double, at most 30 s. Once a cool-down is over,
    one call probes the instance while the others keep away: else everybody would rush to the one
    with no load, and pay the connect timeout together.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self.entries: dict[InstanceKey, _Cooling] = {}
        """Others look only whether there are any: while there are none, nothing needs to be asked or told."""

    def until(self, instance: Instance) -> float:
        """When its cool-down ends; minus infinity when it has none."""
        entry = self.entries.get(instance.key)
        return float("-inf") if entry is None else entry.until

    def cooling(self, instance: Instance, now: float) -> bool:
        entry = self.entries.get(instance.key)
        return entry is not None and now < entry.until

    def starting(self, instance: Instance, now: float) -> None:
        """A call is about to go there. The first one after a cool-down is the probe: others wait for it."""
        entry = self.entries.get(instance.key)
        if entry is not None and entry.until <= now:
            entry.until = now + entry.step_s
            entry.probed = True

    def ended(self, instance: Instance, outcome: Outcome, now: float) -> None:
        """A try ended so. Only a connection that the instance failed to take starts a cool-down."""
        if outcome.blames_instance and outcome.phase is Phase.CONNECT:
            self._failed(instance.key, now)

    def answered(self, instance: Instance) -> None:
        """The head of an answer is there: what was held against it is forgotten.

        Not at the end of the body: an instance may die while a long answer of it is being read.
        """
        self.entries.pop(instance.key, None)

    def _failed(self, key: InstanceKey, now: float) -> None:
        entry = self.entries.get(key)
        if entry is not None and now < entry.until and not entry.probed:
            # One fault, many calls: those that were under way when it showed must not lengthen it.
            return
        if entry is None:
            self._forget(now)
        step = FIRST_S if entry is None else min(entry.step_s * 2, LONGEST_S)
        self.entries[key] = _Cooling(step, now + step)

    def _forget(self, now: float) -> None:
        """Keeps the ledger bounded: instances that left the catalogue are never tried again."""
        stale = [key for key, entry in self.entries.items() if entry.until + FORGET_AFTER_S <= now]
        for key in stale:
            del self.entries[key]
        while len(self.entries) >= self._max_entries:
            del self.entries[next(iter(self.entries))]

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<CooldownLedger: {len(self)} instances>"
