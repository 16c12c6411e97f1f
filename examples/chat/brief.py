"""Small bounded memories: answers that stay good for a moment, and how fast somebody may go on.

Rules of this file: no clock; `now` is monotonic seconds.
"""

from typing import Generic, TypeVar

V = TypeVar("V")


class BriefCache(Generic[V]):
    """Answers that are good for `keep_s` seconds; at most `most` of them (the oldest goes first).

    One that is too old is kept for the day when nobody can be asked.
    """

    def __init__(self, keep_s: float, most: int) -> None:
        self._keep_s = keep_s
        self._most = most
        self._entries: dict[str, tuple[float, V]] = {}

    def get(self, key: str, now: float) -> V | None:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and now < entry[0] else None

    def last(self, key: str) -> V | None:
        """The last answer, however old."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def put(self, key: str, value: V, now: float) -> None:
        self._entries.pop(key, None)
        self._entries[key] = (now + self._keep_s, value)
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)


class Pace:
    """A token bucket: `burst` at once, and `per_s` each second in the long run."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at = now

    def delay(self, now: float) -> float:
        """Seconds until one more may go. It counts as gone after them."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s) - 1
        self._at = now
        return max(0.0, -self._left / self._per_s)
