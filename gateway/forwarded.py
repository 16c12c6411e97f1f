"""`Forwarded` (RFC 7239): what each proxy says of whom it speaks for, read from the right.

Rules of this file: the right end is what the nearest proxy wrote; whatever stands left of it may be a
client's own and must not change how it is read. So elements are found from the right, each as the shortest
text behind a comma that is one, and nothing is read further than somebody asks for.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_ELEMENT = 512
"""Characters. Longer ones are not read: no proxy writes them."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*"'
_PAIR = rf"{_TOKEN}=(?:{_TOKEN}|{_QUOTED})"
_ELEMENT = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*[ \t]*")
_ONE_PAIR = re.compile(rf"({_TOKEN})=(?:({_TOKEN})|({_QUOTED}))")
_ESCAPED = re.compile(r"\\(.)")
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")


class Hop(NamedTuple):
    """What one proxy says."""

    address: str
    """Whom it speaks for, as it says; empty where it does not, or only under a name of its own
    (`unknown`, `_hidden`)."""
    scheme: str
    """`http`, `https` or empty."""


def hops(values: Sequence[str]) -> Iterator[Hop | None]:
    """What the proxies say, the nearest one first; ends with `None` where it can't be read any further.

    `values` are those of all `Forwarded` headers, in order.
    """
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            begin = _begin_of_element(value, end)
            if begin is None:
                yield None
                return
            yield _hop(value[begin:end])
            end = begin - 1


def _begin_of_element(value: str, end: int) -> int | None:
    """Where the element begins that ends there. A comma inside of quotes begins none: what follows it has
    one quote too many."""
    comma = end
    while comma >= 0 and end - comma <= MAX_ELEMENT:
        comma = value.rfind(",", 0, comma)
        if _ELEMENT.fullmatch(value, comma + 1, end):
            return comma + 1
    return None


def _hop(element: str) -> Hop | None:
    said: dict[str, str] = {}
    for name, token, quoted in _ONE_PAIR.findall(element):
        if name.lower() in said:
            return None
        said[name.lower()] = token or _ESCAPED.sub(r"\1", quoted[1:-1])
    node = _NODE.fullmatch(said.get("for", ""))
    scheme = said.get("proto", "").lower()
    address = "" if node is None else node[1] or node[2]
    return Hop(address, scheme if scheme in ("http", "https") else "")
