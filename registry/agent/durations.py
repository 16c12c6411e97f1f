"""Go's durations, as Consul's API writes them: "10s", "1m30s", "1.5h", or a number of nanoseconds.

Pure. The error texts are Go's own, because people search for them.
"""

import re
from fractions import Fraction

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
LONGEST_NS = (1 << 63) - 1
"""Go keeps a duration in an int64: about 292 years."""

_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")


class BadDuration(ValueError):
    """Not a duration. The message is Go's."""


def parse_duration(text: str) -> float:
    """Seconds of a duration like "1m30s". Raises `BadDuration`.

    A unit is needed, except for "0". A sign may stand in front of the whole.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest or not rest.isprintable() or len(rest) > 64:
        raise BadDuration(f'time: invalid duration "{text[:64]}"')
    total, position = Fraction(0), 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise BadDuration(f'time: invalid duration "{text}"')
        number, unit = part.groups()
        if not unit:
            raise BadDuration(f'time: missing unit in duration "{text}"')
        if unit not in NANOSECONDS:
            raise BadDuration(f'time: unknown unit "{unit}" in duration "{text}"')
        total += Fraction(number) * NANOSECONDS[unit]
        position = part.end()
    if total > LONGEST_NS:
        raise BadDuration(f'time: invalid duration "{text}"')
    seconds = float(total / 1_000_000_000)
    return -seconds if text[0] == "-" else seconds


def read_duration(value: object) -> float:
    """Seconds of a duration in a JSON body: a text, or a number of nanoseconds. Raises `BadDuration`."""
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LONGEST_NS:
        raise BadDuration(f'time: invalid duration "{str(value)[:64]}"')
    return value / 1_000_000_000
