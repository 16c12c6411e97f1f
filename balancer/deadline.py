"""How long a call may still take, and how an instance is told.

Rules of this file: a caller may shorten what the route gives and never lengthen it. What is left goes out
with each try as whole milliseconds, so that an instance need not finish what nobody waits for.
"""

from functools import lru_cache

NAME = b"X-Request-Timeout-Ms"


def total_of(route_s: float, caller_s: float) -> float:
    """Seconds for the whole call; 0 or less when there is nothing left."""
    return min(route_s, caller_s)


@lru_cache(maxsize=1024)
def field_line(left_s: float) -> bytes:
    """The header's line, with its end. Rounded down, but never to 0: the try goes out.

    Remembered: first tries of one route all have the same.
    """
    return b"%b: %d\r\n" % (NAME, max(1, int(left_s * 1000)))
