"""When a request that may wait for its seat asks again (`Prefer: wait=`, ALLOCATION 2.2).

Rules of this file: whoever has an appointment waits for just that. Everybody else asks again and again, less
and less often, since nobody knows when a client leaves or a handler comes.
"""

from handlers.model import SeatRefusal

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

_MAY_PASS = frozenset({SeatRefusal.NO_CAPACITY, SeatRefusal.NO_HANDLERS})


def pause_before(
    reason: SeatRefusal, retry_after_s: float, tries: int, left_s: float, chance: float
) -> float | None:
    """Seconds until the request asks again, `None` if it had better be answered now.

    It has asked `tries` times, and may still wait for `left_s`. `chance` is from 0 to 1: requests that were
    refused together don't come back together.
    """
    if reason is SeatRefusal.COME_BACK:
        return retry_after_s if retry_after_s <= left_s else None
    if reason not in _MAY_PASS or left_s <= 0:
        return None
    pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(tries - 1, 10)))
    return min(pause_s * (0.5 + chance / 2), left_s)
