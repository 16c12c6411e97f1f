"""How much of its weight an instance has while it is new: caches are cold, code is not compiled yet.

The weight grows in proportion to the time, from a tenth on, as HAProxy's `slowstart` and Envoy's
`slow_start_config` (aggression 1, `min_weight_percent` 10) do it. In steps, because each change of a weight
is a new list of candidates for the strategies.
"""

from collections.abc import Sequence
from math import inf

STEPS = 10
LEAST = 1 / STEPS
HICCUP_S = 60.0
"""Who was away for less is not new: a process that the registry forgets for a moment keeps its caches."""


def is_new(left_at: float, now: float) -> bool:
    """Whether an instance that appears now counts as new; `left_at` is when it was last usable."""
    return now - left_at > HICCUP_S


def holds_until(new_at: Sequence[float], over_s: float, now: float) -> float:
    """Until when `shares` are good enough: the next step, or infinity when there is nothing to wait for."""
    since = now - over_s
    return now + over_s / STEPS if any(at > since for at in new_at) else inf


def shares(new_at: Sequence[float], over_s: float, now: float) -> list[float] | None:
    """Of their weights that instances have which came at `new_at`, or `None` when all have all of it.

    When more than half are new nobody would be left to carry what they are spared, so they are not.
    """
    if over_s <= 0:
        return None
    since = now - over_s
    new = sum(at > since for at in new_at)
    if not new or 2 * new > len(new_at):
        return None
    return [max(LEAST, (now - at) / over_s) if at > since else 1.0 for at in new_at]
