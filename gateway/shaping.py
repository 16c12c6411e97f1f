"""An instance's answer as the route changes it: headers removed and set, `Location` made public.

Rules of this file: only an absolute `Location` that names the instance which answered is rewritten. It loses
its scheme and authority, so that the client goes on where it asked, and its path is turned back where the
route had turned it (`strip_prefix`, `rewrite`). Every other `Location` is the application's own and passes.
"""

import re
from collections.abc import Callable, Iterable, Set
from typing import NamedTuple

from balancer.model import Headers
from gateway.patterns import Literal, Pattern, decoded, parse_pattern, split
from gateway.settings_routes import RouteSettings
from gateway.target import split_host
from registry.model import Instance

LOCATING = frozenset({201, 202, 300, 301, 302, 303, 307, 308})
"""Statuses whose `Location` is where the client goes, or finds what it has made (RFC 9110, 10.2.2) or, by
custom, has asked for (202)."""

_ABSOLUTE = re.compile(r"(?:(https?):)?//([^/?#\\]*)([/\\][^?#]*)?(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORT = {"http": 80, "https": 443}


class AnswerShaping(NamedTuple):
    """A route's changes to the headers of every answer of its instances, also of one that was kept."""

    removed: frozenset[bytes]
    """In lower case: those that are set, too."""
    added: Headers

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """What goes out for an instance's headers."""
        removed = self.removed
        return [pair for pair in headers if pair[0].lower() not in removed] + self.added


def answer_shaping(route: RouteSettings, ours: Set[bytes] = frozenset()) -> AnswerShaping | None:
    """The route's, if it has some. Headers of `ours`, in lower case, are removed too.

    A header that decides where a request goes decides what the answer is, so caches on the way are told.
    """
    answer = route.answer
    added = [(name.encode(), value.get_secret_value().encode()) for name, value in answer.set_headers.items()]
    removed = {*ours, *(name.lower().encode() for name in (*answer.set_headers, *answer.remove_headers))}
    decides = route.versions or route.subset
    if decides is not None and decides.header is not None:
        added.append((b"Vary", decides.header.encode()))
    return AnswerShaping(frozenset(removed), added) if added or removed else None


PublicPath = Callable[[str], str]


def public_path(route: RouteSettings) -> PublicPath | None:
    """From a path at an instance to the one that a client asks for; `None` where they are the same."""
    if route.strip_prefix:
        prefix = route.strip_prefix
        return lambda path: prefix + path
    if not route.rewrite:
        return None
    theirs, public = parse_pattern(route.rewrite), parse_pattern(route.path)
    assert isinstance(theirs, Pattern), "the settings have seen to it"
    assert isinstance(public, Pattern)
    if set(public.names) - set(theirs.names) or (public.rest and not theirs.rest):
        # Not all of the public path went upstream, so it can't be told from what comes back.
        return None
    return lambda path: _turned_back(path, theirs, public)


def with_public_location(headers: Headers, instance: Instance, path_of: PublicPath | None) -> Headers:
    """The headers of its answer as clients elsewhere can follow them."""
    return [
        (pair[0], _public(pair[1], instance, path_of)) if pair[0].lower() == b"location" else pair
        for pair in headers
    ]


def _public(location: bytes, instance: Instance, path_of: PublicPath | None) -> bytes:
    found = _ABSOLUTE.fullmatch(location.decode("latin-1"))
    if found is None or not _names(found[1], found[2], instance):
        return location
    path = _of_this_host(found[3] or "")
    if path_of is not None:
        # What is turned back may begin with what stood deeper in the path.
        path = _of_this_host(path_of(path))
    return (path + found[4]).encode("latin-1")


def _of_this_host(path: str) -> str:
    """What begins with two slashes leads to whatever host comes next; browsers skip tabs between them."""
    return "/" + path.lstrip("/\\\t")


def _names(scheme: str | None, authority: str, instance: Instance) -> bool:
    """Whether that is the address at which we call the instance, or the one it is registered with."""
    known = split_host(authority)
    if known is None:
        return False
    own = "https" if instance.tls else "http"
    port = known[1] or _DEFAULT_PORT[(scheme or own).lower()]
    hosts = {instance.host.lower(), instance.ip.lower()}
    return port == instance.port and known[0] in hosts


def _turned_back(path: str, theirs: Pattern, public: Pattern) -> str:
    segments = split(path)
    fixed = len(theirs.segments)
    if len(segments) < fixed + theirs.rest or (len(segments) > fixed and not theirs.rest):
        return path
    values: dict[str, str] = {}
    for part, segment in zip(theirs.segments, segments, strict=False):
        if not isinstance(part, Literal):
            if not segment:
                return path
            values[part.name] = segment
        elif part.key != decoded(segment):
            return path
    return public.fill([values[name] for name in public.names], segments[fixed:])
