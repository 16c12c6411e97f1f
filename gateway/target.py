"""Is this request line one we carry? One normal form of the path, decided before anything else.

Rules of this file: nothing is rewritten. A target is either taken as it came, byte for byte, or
refused with a reason, so what was routed and authorised is what the instance sees (DESIGN 5). Whatever
two readers of a path could disagree on is refused: dot segments (also `%2e` and `..;x`), empty segments
(`//`), encoded slash, backslash, NUL and control characters, escapes that are none, a fragment, a
backslash and anything that is not printable ASCII. The query is opaque but for the last three.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

MAX_METHOD = 32
MAX_HOST = 255 + len(":65535")
NEVER_CARRIED = frozenset({"CONNECT", "TRACE"})
"""CONNECT opens a tunnel to a place the client names; TRACE reflects headers we have added."""

CARRIED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What `Allow` says where no route decides."""

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]*")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN_ESCAPE = re.compile(r"%(?:2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?:;[^/]*|%3[Bb][^/]*)?(?=/|\Z)")
_ABSOLUTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORT = {"http": 80, "https": 443}


class BadTarget(StrEnum):
    """Why a request line is not carried; also the error's `reason`."""

    BAD_METHOD = "bad_method"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_VERSION = "bad_version"
    BAD_PATH = "bad_path"
    BAD_HOST = "bad_host"


@dataclass(frozen=True, slots=True)
class Target:
    """A request line that is carried as it came."""

    path: str
    """The raw path, escapes kept. `*` for `OPTIONS *`."""
    query: str
    """The raw query with its question mark, or empty: `path + query` is what came."""
    host: str
    """The authority the client asked for, in lower case; empty for HTTP/1.0 without `Host`."""

    @property
    def asks_for_the_server(self) -> bool:
        """`OPTIONS *`: about the gateway, not about any resource."""
        return self.path == "*"


def read_target(method: str, raw: str, version: tuple[int, int], hosts: Sequence[str]) -> Target | BadTarget:
    """What a request line and its `Host` headers ask for, or why that is refused.

    `raw` is the second word of the request line, `version` the third as numbers, and `hosts` every
    value of a `Host` header, in order.
    """
    if (refused := method_problem(method)) is not None:
        return refused
    if version not in ((1, 0), (1, 1)):
        return BadTarget.BAD_VERSION
    if len(hosts) > 1 or (not hosts and version == (1, 1)):
        return BadTarget.BAD_HOST
    host = hosts[0] if hosts else ""
    if hosts and split_host(host) is None:
        return BadTarget.BAD_HOST
    if raw == "*":
        return Target("*", "", host.lower()) if method == "OPTIONS" else BadTarget.BAD_PATH
    if not raw.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(raw)
        if absolute is None:
            return BadTarget.BAD_PATH
        scheme, authority, raw = absolute["scheme"].lower(), absolute["authority"], absolute["rest"]
        if scheme not in _DEFAULT_PORT or not _same_place(authority, host or authority, scheme):
            return BadTarget.BAD_HOST
        host = authority
        raw = raw if raw.startswith("/") else "/" + raw
    path, mark, query = raw.partition("?")
    if not path_is_carried(path) or _UNPRINTABLE.search(query) or "#" in query:
        return BadTarget.BAD_PATH
    return Target(path, mark + query, host.lower())


def method_problem(method: str) -> BadTarget | None:
    """Methods are case-sensitive tokens: `get` is another method than `GET`, and none we know."""
    if len(method) > MAX_METHOD or not _METHOD.fullmatch(method):
        return BadTarget.BAD_METHOD
    return BadTarget.METHOD_NOT_ALLOWED if method in NEVER_CARRIED else None


def path_is_carried(path: str) -> bool:
    """Whether a raw path reads the same to everybody. See the rules at the top."""
    if not path.startswith("/") or "//" in path or "\\" in path or "#" in path or "?" in path:
        return False
    if _UNPRINTABLE.search(path) or _DOT_SEGMENT.search(path):
        return False
    return "%" not in path or not (_BAD_ESCAPE.search(path) or _FORBIDDEN_ESCAPE.search(path))


def framing_is_clear(version: tuple[int, int], coding: str) -> bool:
    """Whether `Transfer-Encoding` says where the body ends, to everybody the same (RFC 9112, 6.1 and 6.3).

    `chunked` alone does, since 1.1. A list, an empty value, another coding or one told to HTTP/1.0 is read
    by some as a body without chunks.
    """
    return version == (1, 1) and coding.isascii() and coding.lower() == "chunked"


@lru_cache(maxsize=1024)
def split_host(value: str) -> tuple[str, int | None] | None:
    """`host[:port]` -> (host in lower case, port or `None`); `None` if it is not one.

    Refuses userinfo, lists, paths, escapes, an empty or impossible port, and what is no IPv6 address
    between brackets. Remembered: nearly every request names the same host.
    """
    found = _HOST.fullmatch(value) if len(value) <= MAX_HOST else None
    if found is None:
        return None
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 0 < port < 65536:
        return None
    if found["ipv6"] is None:
        return found["name"].lower(), port
    try:
        return str(IPv6Address(found["ipv6"])), port
    except AddressValueError:
        return None


def _same_place(authority: str, host: str, scheme: str) -> bool:
    """Whether both name the same host and port, a missing port being the scheme's."""
    one, other = split_host(authority), split_host(host)
    if one is None or other is None:
        return False
    default = _DEFAULT_PORT[scheme]
    return one[0] == other[0] and (one[1] or default) == (other[1] or default)
