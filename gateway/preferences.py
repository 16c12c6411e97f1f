"""What a client would rather have: `Prefer: wait=5` (RFC 7240).

A preference is a wish. What can't be read is no wish, and whoever wants to know whether it was granted
reads `Preference-Applied`.
"""

import re
from collections.abc import Iterable

MAX_WAIT_S = 10
"""A longer wish is granted this much."""

MAX_HEADER = 256
"""A longer header is no wish: nobody who means one needs so much."""

_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
"""What stands between commas, those in quotes aside. A quote that is never closed runs to the end: to give
it up and begin again behind it would take the square of the header's length."""
_WAIT = re.compile(r'wait[ \t]*=[ \t]*(?:([0-9]{1,9})|"([0-9]{1,9})")', re.ASCII | re.IGNORECASE)


def wait_s(headers: Iterable[str]) -> int:
    """How many seconds to wait at most, by the values of the `Prefer` headers; 0: answer at once.

    Of a preference that is named twice the first counts.
    """
    for header in headers:
        if len(header) > MAX_HEADER:
            continue
        for item in _ITEM.findall(header):
            wish = item.partition(";")[0].strip(" \t")
            if wish[:4].lower() == "wait" and (found := _WAIT.fullmatch(wish)) is not None:
                return min(int(found[1] or found[2]), MAX_WAIT_S)
    return 0
