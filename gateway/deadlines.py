"""How long a caller still waits for its answer: `X-Request-Timeout-Ms`, in whole milliseconds.

A caller that gives up after that long gains nothing from a try that takes longer, so what it says shortens
the route's own time and never lengthens it. 0 means that it has given up already.
"""

import re
from collections.abc import Sequence

from balancer.deadline import NAME

DEADLINE = NAME.decode()
MALFORMED = f"{DEADLINE} must be one whole number of milliseconds, at most 12 digits."

_MILLISECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class Malformed:
    """There is such a header, and nobody knows what it asks for."""

    def __repr__(self) -> str:
        return "<Malformed>"


_NOT_A_NUMBER = Malformed()


def read_deadline(values: Sequence[str]) -> float | Malformed | None:
    """The seconds that the caller has left; `None` when it does not say.

    A header that is repeated or no number is not passed over: its sender relies on it.
    """
    if not values:
        return None
    if len(values) > 1 or not _MILLISECONDS.fullmatch(values[0]):
        return _NOT_A_NUMBER
    return int(values[0]) / 1000
