"""Requests per sliding window, counted exactly, in bounded memory.

Rules of this file: a request counts against every rule or against none. Each key keeps a log of its
requests, so no window of any start ever holds more than the limit; a counter per fixed window lets twice
the limit through at its edge. The log is coarse on purpose: times are rounded up to a thousandth of the
window, so a key needs at most a thousand entries whatever its limit, and a request is forgotten up to a
thousandth late, never early.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

TICKS = 1000
"""Steps per window."""

MAX_KEYS = 50_000
"""Keys counted at a time; beyond, the one that has been quiet the longest is forgotten."""

MAX_REFUSED = 10_000
"""Keys whose refusals are remembered."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` requests of `key` in any `window_s` seconds."""

    key: str
    limit: int
    window_s: float
    name: str = ""
    """Of the limit, among those that a request may fall under; what `limits.py` makes of it."""
    counted_under: tuple[str, float] = field(init=False, repr=False, compare=False)
    """The key and the window: who is given another limit keeps its count."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "counted_under", (self.key, self.window_s))


class Verdict(NamedTuple):
    """The tightest rule and its numbers, for the answer's headers. Seconds are rounded up by the reader."""

    rule: Rule
    allowed: bool
    remaining: int
    reset_s: float
    retry_after_s: float
    degraded: bool = False
    """Others count too, and it is not known what: their store does not answer."""


class _Window:
    """The requests of one key that still count: [tick, how many], oldest first."""

    __slots__ = ("counts", "leaves_at", "newest", "tick_s", "total")

    def __init__(self, window_s: float) -> None:
        self.tick_s = window_s / TICKS
        self.counts: deque[list[int]] = deque()
        self.newest = [-1, 0]
        """The last one of them that there was."""
        self.total = 0
        self.leaves_at = math.inf
        """When the oldest of them leaves the window."""

    def forget(self, now: float) -> None:
        """Drops what has left the window that ends now."""
        while self.leaves_at <= now:
            self.total -= self.counts.popleft()[1]
            self.leaves_at = self._end_of(self.counts[0][0]) if self.counts else math.inf

    def add(self, now: float) -> None:
        tick, newest = math.ceil(now / self.tick_s), self.newest
        if newest[0] >= tick:
            newest[1] += 1
        else:
            self.newest = [tick, 1]
            self.counts.append(self.newest)
            if len(self.counts) == 1:
                self.leaves_at = self._end_of(tick)
        self.total += 1

    def room_in(self, limit: int, now: float) -> float:
        """Seconds until another request is within `limit`; of a limit of 0, which never is, a window."""
        if self.total < limit:
            return 0.0
        leaving = self.total - limit + 1
        for tick, count in self.counts:
            leaving -= count
            if leaving <= 0:
                return self._end_of(tick) - now
        return TICKS * self.tick_s

    def _end_of(self, tick: int) -> float:
        return (tick + TICKS) * self.tick_s


class SlidingWindows:
    """Counts requests. `now` is monotonic seconds and never goes back."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._windows: OrderedDict[tuple[str, float], _Window] = OrderedDict()

    def hit(self, rules: Sequence[Rule], now: float) -> Verdict | None:
        """Counts one request against every rule if all allow it, else against none. `None`: no rules."""
        if not rules:
            return None
        counts = [(rule, self._window(rule, now)) for rule in rules]
        for rule, window in counts:
            if window.total >= rule.limit:
                verdicts = [_verdict(*one, now, False) for one in counts]
                return min(verdicts, key=lambda verdict: (verdict.remaining, -verdict.retry_after_s))
        tightest, least = counts[0], math.inf
        for one in counts:
            rule, window = one
            self._count(rule, window, now)
            left = rule.limit - window.total
            if left < least:
                tightest, least = one, left
        return _verdict(*tightest, now, True)

    def refusal(self, rules: Sequence[Rule], now: float) -> Verdict | None:
        """What `hit` would say if it refused; nothing is counted. `None`: there is room."""
        for rule in rules:
            window = self._window(rule, now)
            if window.total >= rule.limit:
                return _verdict(rule, window, now, False)
        return None

    def _window(self, rule: Rule, now: float) -> _Window:
        """The key's window up to now. A new one is kept only when something is counted in it."""
        window = self._windows.get(rule.counted_under)
        if window is None:
            return _Window(rule.window_s)
        if window.leaves_at <= now:
            window.forget(now)
        return window

    def _count(self, rule: Rule, window: _Window, now: float) -> None:
        window.add(now)
        key = rule.counted_under
        try:
            self._windows.move_to_end(key)
        except KeyError:  # new, or pushed out by another rule's a moment ago
            self._windows[key] = window
            self._evict(now)

    def _evict(self, now: float) -> None:
        """After a new key: drops the quietest if there are too many, and up to two that count nothing."""
        while len(self._windows) > self._max_keys:
            self._windows.popitem(last=False)
        for _ in range(2):
            key, oldest = next(iter(self._windows.items()))
            oldest.forget(now)
            if oldest.total:
                return
            del self._windows[key]

    def __len__(self) -> int:
        return len(self._windows)

    def __repr__(self) -> str:
        return f"<SlidingWindows: {len(self._windows)} keys>"


class Refused:
    """Verdicts of a store that is asked no more, for as long as they stay true. `now` as above.

    A window that is full stays full until the oldest of its requests leaves it.
    """

    def __init__(self, max_keys: int = MAX_REFUSED) -> None:
        self._max_keys = max_keys
        self._known: OrderedDict[tuple[str, float], tuple[Verdict, float]] = OrderedDict()
        """With the time of the verdict."""

    def remember(self, verdict: Verdict, now: float) -> None:
        """A refusal. `now` is no later than the verdict."""
        key = verdict.rule.counted_under
        self._known[key] = (verdict, now)
        self._known.move_to_end(key)
        if len(self._known) > self._max_keys:
            self._known.popitem(last=False)

    def verdict(self, rules: Sequence[Rule], now: float) -> Verdict | None:
        """The refusal of one of these rules, with its numbers as they are now; `None` if none is known."""
        for rule in rules:
            known = self._known.get(rule.counted_under)
            if known is None:
                continue
            verdict, then = known
            age_s = now - then
            if age_s >= verdict.reset_s:
                del self._known[rule.counted_under]
            elif rule.limit <= verdict.rule.limit:
                return Verdict(rule, False, 0, verdict.reset_s - age_s, verdict.retry_after_s - age_s)
        return None

    def __len__(self) -> int:
        return len(self._known)


def _verdict(rule: Rule, window: _Window, now: float, allowed: bool) -> Verdict:
    """One rule's numbers; of a refused request, only the rules in its way say when to come back."""
    limit, total = rule.limit, window.total
    reset_s = window.leaves_at - now if total else 0.0
    wait_s = 0.0 if allowed else window.room_in(limit, now)
    return Verdict(rule, allowed, limit - total if total < limit else 0, reset_s, wait_s)
