"""How long to wait after a failure: exponential, with full jitter, capped.

Full jitter (a uniform draw from zero to the bound) spreads clients that failed at the same moment
best: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from random import Random

BASE_S = 0.1
CAP_S = 10.0
_ENOUGH_DOUBLINGS = 32
"""0.1 s doubled so often is above any cap; without it a week of failures overflows a float."""


def full_jitter(failures: int, rng: Random, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait after so many failures in a row (1 = the first)."""
    bound = base_s * 2.0 ** min(failures - 1, _ENOUGH_DOUBLINGS)
    return rng.uniform(0.0, min(cap_s, bound))
