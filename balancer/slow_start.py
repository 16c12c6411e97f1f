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


def shares(new_at: Sequence[float], over_s: float, now: float) -> tuple[list[float] | None, float]:
    """Of their weights that instances have which came at `new_at`, and until when that is good enough.

    `None` is all of it: for when nobody is new, and for when more than half are, as then nobody would be
    left to carry what they are spared. After the end of the step, which may be infinity, ask again.
    """
    since = now - over_s
    new = [at for at in new_at if at > since]
    if not new:
        return None, inf
    step_ends = now + over_s / STEPS
    if 2 * len(new) > len(new_at):
        return None, step_ends
    return [max(LEAST, (now - at) / over_s) if at > since else 1.0 for at in new_at], step_ends
