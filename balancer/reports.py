"""What callers elsewhere say of an instance, damped so that no one of them can decide.

A microservice that was given an instance sees what we don't see. But it may itself be the one that is ill,
or lie. So a caller weighs as much as its failures in a row, three at the most; an instance is put aside when
at least two callers complain, who together weigh four, and who are most of those that said anything lately.
"""

from registry.model import InstanceKey

MIN_CALLERS = 2
MIN_WEIGHT = 4
"""Two callers with two failures in a row each: one timeout each, by chance, is not enough."""
MAX_OF_ONE = 3
MAX_INSTANCES = 1024
MAX_CALLERS = 16
"""Remembered at a time, of one instance. With the instances: about 2 MB at the most."""


class _Voice:
    """What one caller said of one instance."""

    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self.until = 0.0
        """Until then it is heard: a window after its last report."""


class ReportLedger:
    """Of one service. What was said first falls out when there is too much."""

    def __init__(self, max_instances: int = MAX_INSTANCES, max_callers: int = MAX_CALLERS) -> None:
        self._max_instances = max_instances
        self._max_callers = max_callers
        self._voices: dict[InstanceKey, dict[str, _Voice]] = {}

    def add(self, key: InstanceKey, caller: str, ok: bool, now: float, window_s: float) -> bool:
        """Takes in one report; says whether the callers together condemn the instance by now."""
        voices = self._voices.setdefault(key, {})
        if len(self._voices) > self._max_instances:
            del self._voices[next(iter(self._voices))]
        voice = voices.pop(caller, None)
        if voice is None or voice.until <= now:
            voice = _Voice()
        voices[caller] = voice  # the last one now: who was silent for longest comes first
        if len(voices) > self._max_callers:
            del voices[next(iter(voices))]
        voice.failures = 0 if ok else voice.failures + 1
        voice.until = now + window_s
        return not ok and self._condemned(voices, now)

    def forget(self, key: InstanceKey) -> None:
        """What was said was acted on."""
        self._voices.pop(key, None)

    def _condemned(self, voices: dict[str, _Voice], now: float) -> bool:
        heard = [voice.failures for voice in voices.values() if voice.until > now]
        complaints = [min(failures, MAX_OF_ONE) for failures in heard if failures]
        if len(complaints) < MIN_CALLERS or sum(complaints) < MIN_WEIGHT:
            return False
        return 2 * len(complaints) > len(heard)

    def __len__(self) -> int:
        return sum(map(len, self._voices.values()))

    def __repr__(self) -> str:
        return f"<ReportLedger: {len(self)} callers on {len(self._voices)} instances>"
