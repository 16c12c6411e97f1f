"""What an instance asks for beside its answer: to be left alone for a while, or to get fewer calls.

Rules of this file: what can't be read is as good as not said; an instance can't ask for a time that is
endless or negative. How long it is granted at most is the ejection policy's.
"""

from typing import NamedTuple

from balancer.headers import Pairs, values_of

_YES = frozenset({b"true", b"yes", b"on", b"1"})
_MOST_DIGITS = 9
SLOW_S = 1.0
"""Of a 429 that does not say how long."""


class AnswerHints(NamedTuple):
    """What an answer's head says about its instance beside the status. Seconds."""

    eject_s: float | None = None
    """It wants no calls for so long; 0 leaves the time to the policy (`X-Quaymaster-Eject: true`)."""
    slow_s: float | None = None
    """It wants fewer for so long."""


def hints_of(status: int, headers: Pairs, eject: bytes | None) -> AnswerHints | None:
    """What that head of an answer asks for; `None` is nothing. `eject` is the value of
    `X-Quaymaster-Eject`, if it was there."""
    eject_s = None if eject is None else _eject_s(eject.strip().lower())
    slow_s = None
    if status in (429, 503):
        after_s = _seconds(b"".join(values_of(headers, b"retry-after")[:1]).strip())
        slow_s = after_s or (SLOW_S if status == 429 else None)
    return None if eject_s is None and slow_s is None else AnswerHints(eject_s, slow_s)


def _eject_s(value: bytes) -> float | None:
    """0 leaves the time to the policy. A plain `0` says that nothing is asked for."""
    return 0.0 if value in _YES else (_seconds(value) or None)


def _seconds(value: bytes) -> float | None:
    """Whole or with a fraction; a date, as `Retry-After` may be, needs a clock that both sides share."""
    whole, point, part = value.partition(b".")
    if not whole.isdigit() or len(value) > _MOST_DIGITS or (point and not part.isdigit()):
        return None
    return float(value)
