"""`Cache-Control`, of a request and of an answer (RFC 9111, 5.2; RFC 5861 for stale-if-error).

Rules of this file: names go without case, both forms of an argument are read, what is not understood is
passed over. Of a directive that is said twice the stricter holds. A number that is none counts as the
strictest there is: an answer is not fresh because somebody mistyped how long it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

LONGEST_S = 2**31
"""What longer ones count as (RFC 9111, 1.2.2)."""

MOST_READ = 1024
"""Characters. Who says more than that at once is not read, and nothing is kept for it: the reading of quotes
that never end grows with the square of them."""

_DIRECTIVE = re.compile(
    rb"""[\s,]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s,"]+)))?""",
    re.DOTALL,
)
_UP_TO_A_COMMA = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"|")*', re.DOTALL)

Directives = Mapping[bytes, Sequence[bytes | None]]


class AnswerControl(NamedTuple):
    """What an answer says of its being kept. `private` and `no-cache` of single headers count as of all."""

    no_store: bool = False
    private: bool = False
    no_cache: bool = False
    shared: bool = False
    """It may be kept although it was asked for with credentials: `public`, `s-maxage`, `must-revalidate`."""
    must_revalidate: bool = False
    """Also `proxy-revalidate` and `s-maxage`: it may not be used stale, whatever happens."""
    max_age_s: int | None = None
    """For us: `s-maxage` before `max-age`."""
    stale_if_error_s: int | None = None


class RequestControl(NamedTuple):
    """What a client says of the answer it would like."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    min_fresh_s: int = 0
    max_stale_s: int = 0


def read_answer(values: Iterable[bytes]) -> AnswerControl:
    """Of all `Cache-Control` lines of an answer."""
    text = b",".join(values)
    return _answer(text) if len(text) <= MOST_READ else AnswerControl(no_store=True)


def read_request(values: Sequence[bytes], pragma: bytes = b"") -> RequestControl:
    """Of all `Cache-Control` lines of a request; `Pragma: no-cache` counts where there is none."""
    if not values:
        return RequestControl(no_cache=b"no-cache" in pragma.lower())
    text = b",".join(values)
    return _request(text) if len(text) <= MOST_READ else RequestControl(no_store=True, no_cache=True)


def directives(text: bytes) -> Directives:
    """Every directive with its arguments, in lower case and in order; `None` for one without."""
    found: dict[bytes, list[bytes | None]] = {}
    at = 0
    while at < len(text):
        one = _DIRECTIVE.match(text, at)
        if one is not None:
            quoted, at = one["quoted"], one.end()
            argument = one["token"] if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
            found.setdefault(one["name"].lower(), []).append(argument)
        # Whatever else stands there until the next comma is nobody's.
        rest = _UP_TO_A_COMMA.match(text, at)
        assert rest is not None, "it matches nothing, too"
        at = rest.end() + 1
    return found


@lru_cache(maxsize=512)
def _answer(text: bytes) -> AnswerControl:
    said = directives(text)
    shared = _shortest(said, b"s-maxage")
    return AnswerControl(
        no_store=b"no-store" in said,
        private=b"private" in said,
        no_cache=b"no-cache" in said,
        shared=not said.keys().isdisjoint((b"public", b"s-maxage", b"must-revalidate")),
        must_revalidate=not said.keys().isdisjoint((b"must-revalidate", b"proxy-revalidate", b"s-maxage")),
        max_age_s=_shortest(said, b"max-age") if shared is None else shared,
        stale_if_error_s=_shortest(said, b"stale-if-error"),
    )


@lru_cache(maxsize=128)
def _request(text: bytes) -> RequestControl:
    said = directives(text)
    stale = said.get(b"max-stale")
    return RequestControl(
        no_store=b"no-store" in said,
        no_cache=b"no-cache" in said,
        only_if_cached=b"only-if-cached" in said,
        max_age_s=_shortest(said, b"max-age"),
        min_fresh_s=max((_seconds(value, LONGEST_S) for value in said.get(b"min-fresh", ())), default=0),
        # Without a number any staleness will do.
        max_stale_s=0 if stale is None else min(LONGEST_S if v is None else _seconds(v, 0) for v in stale),
    )


def _shortest(said: Directives, name: bytes) -> int | None:
    values = said.get(name)
    return None if values is None else min(_seconds(value, 0) for value in values)


def _seconds(value: bytes | None, otherwise: int) -> int:
    """`otherwise` for what is no number."""
    if value is None or not value.isdigit():
        return otherwise
    return LONGEST_S if len(value) > 10 else min(int(value), LONGEST_S)
