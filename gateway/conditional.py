"""Conditional requests: a client's against what is kept, ours against what an instance has (RFC 9110, 13).

Rules of this file: a condition that can't be read holds for nothing, so its client gets the whole answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from gateway.http_dates import read_date

Headers = Sequence[tuple[bytes, bytes]]

CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
"""What a cache may answer, and asks itself."""
PRECONDITIONS = frozenset({b"if-match", b"if-unmodified-since"})
"""What only the instance can answer."""

_TAG = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_BETWEEN_TAGS = b", \t"
_NEVER_REFRESHED = frozenset(
    {b"content-encoding", b"content-length", b"content-range", b"content-type", b"transfer-encoding"}
)
"""They speak of the body, which is the kept one (RFC 9111, 3.2)."""


def is_tag(value: bytes) -> bool:
    """Whether that is an entity tag."""
    return _TAG.fullmatch(value) is not None


def names_tag(listed: bytes, etag: bytes) -> bool:
    """Whether an `If-None-Match` names that tag, weak ones being as good as strong (RFC 9110, 8.8.3.2)."""
    if listed.strip(_BETWEEN_TAGS) == b"*":
        return True
    if not is_tag(etag) or _TAG.sub(b"", listed).strip(_BETWEEN_TAGS):
        return False
    return etag.removeprefix(b"W/") in _TAG.findall(listed)


def is_not_modified(asked: Mapping[bytes, bytes], etag: bytes, modified: bytes) -> bool:
    """Whether whoever asks so has that answer already. `modified` is its `Last-Modified`.

    `asked` are the request's headers, names in lower case; `If-None-Match` comes before the date.
    """
    listed = asked.get(b"if-none-match")
    if listed is not None:
        return names_tag(listed, etag)
    since, changed = read_date(asked.get(b"if-modified-since", b"")), read_date(modified)
    return since is not None and changed is not None and changed <= since


def conditions(etag: bytes, modified: bytes) -> list[tuple[bytes, bytes]]:
    """The headers that ask an instance whether an answer with these validators is still the same."""
    asked = [(b"If-None-Match", etag)] if etag else []
    return [*asked, (b"If-Modified-Since", modified)] if modified else asked


def refreshed(kept: Headers, told: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of a kept answer after a 304 that said `told` (RFC 9111, 3.2)."""
    new = [pair for pair in told if pair[0].lower() not in _NEVER_REFRESHED]
    # An old date without a new one would make it older than it is.
    replaced = {b"date", *(name.lower() for name, _ in new)}
    return [*(pair for pair in kept if pair[0].lower() not in replaced), *new]


def of_a_304(kept: Headers) -> list[tuple[bytes, bytes]]:
    """What a 304 says of a kept answer's headers: nothing of a body that does not come (RFC 9110, 15.4.5)."""
    return [pair for pair in kept if not _is_about_the_body(pair[0].lower())]


def _is_about_the_body(name: bytes) -> bool:
    return name in _NEVER_REFRESHED or name in (b"content-language", b"content-md5", b"content-disposition")


def unconditional(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These without the client's own conditions: its answer is found by ours."""
    return [pair for pair in headers if pair[0].lower() not in CONDITIONS]
