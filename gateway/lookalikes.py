"""Paths that a lax instance takes for others: none of them gets past what those others ask of a caller.

Rules of this file: paths are routed as they came, byte for byte. Frameworks are laxer: they decode once more,
overlook case, `;parameters`, a slash or a dot at the end, and read one Unicode character as another. Where
such a reader would see a path of another route to the same service, and that route asks for more than the
one that was found, the request is refused: `/Admin/x`, `/admin;a/x` and `/%2561dmin/x` beside `/admin/*`. So
is one that such a reader cuts into other segments (`/a/%252e%252e/b`), since a rewritten path might get past
anything. A path that a route spells out is that route's: `/users` beside `/users/*` is no lookalike.
"""

import re
from collections.abc import Iterator, Sequence
from posixpath import normpath
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from gateway.patterns import Pattern, parse_pattern
from gateway.routes import Match, RouteTable
from gateway.settings_identity import RequireSettings
from gateway.settings_routes import RouteSettings

_PLAIN = re.compile(r"[a-z0-9/_~-]*")
"""Everybody reads these the same, but for a slash at the end."""
_PARAMETERS = re.compile(rb";[^/]*")
_ENDS = re.compile(r"[\x00-\x1f?#].*", re.DOTALL)
_OVERLONG = re.compile(r"[\udcc0\udcc1][\udc80-\udcbf]|\udce0[\udc80-\udc9f]|\udcf0[\udc80-\udc8f]")
"""Written in more bytes than it has: no valid UTF-8, but some read it."""
_DECODINGS = 2
"""How often a lax reader decodes; it was once here."""


class _Facts(NamedTuple):
    """Of a route, what matters here."""

    asks: tuple[str, RequireSettings]
    exact: bool
    shape: tuple[str | None, ...]
    """Equal for paths that lax readers can't tell apart."""
    services: frozenset[str]


class Lookalikes:
    """Which paths are refused for what they look like. Never changes; new settings make a new one."""

    def __init__(self, routes: Sequence[RouteSettings]) -> None:
        self._facts = {id(route): _facts(route) for route in routes}
        self._differ = len({facts.asks for facts in self._facts.values()}) > 1
        self._table = RouteTable(routes, key=folded)

    def may_pass_for_another(self, method: str, path: str, route: RouteSettings) -> bool:
        """Whether a path that `route` was found for may be read as one of a route that asks for more."""
        if not self._differ:
            return False
        found = self._facts[id(route)]
        if found.exact:
            return False
        lax = decoded_laxly(path)
        if lax is not path and (_OVERLONG.search(lax) or _has_other_segments(lax, path)):
            return True
        return any(self._asks_more(method, reading, route, found) for reading in readings(lax))

    def _asks_more(self, method: str, reading: str, route: RouteSettings, found: _Facts) -> bool:
        match = self._table.resolve(method, reading)
        if not isinstance(match, Match) or match.route is route or match.route.access == "public":
            return False
        other = self._facts[id(match.route)]
        if other.asks == found.asks or other.services.isdisjoint(found.services):
            return False
        return other.shape not in (found.shape, (*found.shape, "/*"))


def decoded_laxly(text: str) -> str:
    """A path, or a segment of one, decoded as often as anybody does, without parameters."""
    if _PLAIN.fullmatch(text):
        return text
    raw = _PARAMETERS.sub(b"", text.encode("utf-8", "surrogateescape"))
    for _ in range(_DECODINGS):
        raw = _PARAMETERS.sub(b"", unquote_to_bytes(raw).replace(b"\\", b"/"))
    return raw.decode("utf-8", "surrogateescape")


def folded(text: str) -> str:
    """The same as those compare it who overlook the most."""
    text = decoded_laxly(text)
    if _PLAIN.fullmatch(text):
        return text
    valid = _ENDS.sub("", text).encode("utf-8", "ignore").decode()
    seen = normalize("NFKC", valid).casefold()
    return "/".join(segment if set(segment) == {"."} else segment.rstrip(" .") for segment in seen.split("/"))


def readings(path: str) -> Iterator[str]:
    """What is made of a path by those who overlook the most, without a slash at its end and with one."""
    bare = "/" + normpath(folded(path)).strip("/")
    yield bare
    if bare != "/":
        yield f"{bare}/"


def _has_other_segments(lax: str, path: str) -> bool:
    """Whether one appears, vanishes, or leads elsewhere."""
    seen, came = lax.split("/"), path.split("/")
    return len(seen) != len(came) or any(
        new in (".", "..") or (old and not new) for new, old in zip(seen, came, strict=True)
    )


def _facts(route: RouteSettings) -> _Facts:
    pattern = parse_pattern(route.path)
    assert isinstance(pattern, Pattern), "settings are validated before"
    shape = tuple(part and (part if part == "/*" else folded(part)) for part in pattern.shape)
    services = frozenset(route.service_keys().values())
    return _Facts((route.access, route.require), pattern.exact, shape, services)
