"""Dates as HTTP writes them (RFC 9110, 5.6.7): the one form that is sent, and two that are only read.

Rules of this file: what is no date is `None`, never a guess. Whoever reads a lifetime out of it takes that
for one that is over.
"""

import re
from calendar import timegm
from functools import lru_cache

LONGEST = 40
"""Characters; none of the forms is longer."""

_MONTHS = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_CLOCK = rb"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_FORMS = (
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>\d\d) "
        + _MONTH
        + rb" (?P<year>\d{4}) "
        + _CLOCK
        + rb" GMT"
    ),
    re.compile(
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-"
        + _MONTH
        + rb"-(?P<year>\d\d) "
        + _CLOCK
        + rb" GMT"
    ),
    re.compile(
        rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" (?P<day>[ \d]\d) " + _CLOCK + rb" (?P<year>\d{4})"
    ),
)


def read_date(text: bytes) -> int | None:
    """Unix seconds; `None` for what is no date. Years of two digits are those from 1970 to 2069."""
    text = text.strip(b" \t")
    return _read(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=512)
def _read(text: bytes) -> int | None:
    for form in _FORMS:
        if (found := form.fullmatch(text)) is not None:
            break
    else:
        return None
    year, day = int(found["year"]), int(found["day"])
    if year < 100:
        year += 2000 if year < 70 else 1900
    month = _MONTHS[found["month"]]
    if not 1 <= day <= _days(year, month) or year < 1970:
        return None
    return timegm((year, month, day, int(found["hour"]), int(found["minute"]), int(found["second"])))


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
