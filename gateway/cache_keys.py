"""Under what an answer is kept: everything that may make it another one, and nothing a stranger can slip in.

Rules of this file: a key is made of what the instance *gets*, after routing, rewriting and the removal of
headers that only the gateway may set; so there is no difference between what was asked and what was answered.
Headers that many servers take for a part of the address (`X-Forwarded-Port`, `X-Original-URL`,
`X-HTTP-Method-Override`…) are part of it: whoever sends one gets an answer of its own, and nobody else does.
Every part is written with its length, so that no two lists of parts are one key.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b

from gateway.identity import User

Names = tuple[bytes, ...]
"""Of headers: lower case, sorted, each once."""

MOST_NAMES = 16
MOST_LENGTH = 512
"""Headers, and characters of all their names, that one URI's answers may vary by."""

KEY_BYTES = 32
REMEMBERED_LENGTH = 256
"""Characters of a target whose key is remembered."""

CREDENTIALS = frozenset(
    {b"authorization", b"token", b"x-access-token", b"x-api-key", b"x-auth-token", b"api-key", b"x-user-id"}
)
"""What tells an instance who asks. `X-User-Id` is the gateway's own to set, also where a token is removed."""

_PLACES = (b"x-forwarded-", b"x-original-", b"x-rewrite-", b"x-http-", b"x-host", b"x-method-", b"x-envoy-")
_ALWAYS = (b"host", b"front-end-https", b"x-url-scheme", b"x-proxy-url", b"base-url", b"request-uri")
_NEVER = frozenset({b"x-forwarded-for"})
"""Another one for each client: an answer that goes by it must say so in its `Vary`."""
_ANEW = frozenset({b"traceparent", b"tracestate", b"x-request-id", b"x-request-timeout-ms"})
"""Said to an instance anew with each call: what varies by one of them is for one request."""
_OF_FORWARDED = re.compile(rb'(?:^|[;,\s])((?:host|proto)\s*=\s*(?:"[^"]*"|[^;,\s"]*))', re.IGNORECASE)


class CacheKey:
    """Where the answers to one URI are, and which of them is a request's."""

    __slots__ = ("_asker", "_sent", "_target", "uri")

    def __init__(self, uri: bytes, asker: bytes, target: bytes, sent: Mapping[bytes, bytes]) -> None:
        self.uri = uri
        """The same for everybody who asks for it, by whatever method."""
        self._asker = asker
        self._target = target
        self._sent = sent

    def variant(self, names: Names) -> bytes:
        """The key of the answer where answers vary by these headers."""
        parts: list[bytes | None] = [self.uri, self._asker, self._target]
        for name in names:
            parts += (name, self._sent.get(name))
        return digest(*parts)


def digest(*parts: bytes | None) -> bytes:
    """One key of all of them; nothing is not the same as empty."""
    written = b"".join([b"-" if part is None else b"%d:%b" % (len(part), part) for part in parts])
    return blake2b(written, digest_size=KEY_BYTES).digest()


def uri_key(host: str, target: str) -> bytes:
    """Of what the client asked for: host, path and query, byte for byte."""
    return _remembered(host, target) if len(target) <= REMEMBERED_LENGTH else _uri(host, target)


def _uri(host: str, target: str) -> bytes:
    return digest(host.encode(), target.encode())


_remembered = lru_cache(maxsize=2048)(_uri)


def asker_key(plan: bytes, vary: Names, user: User | None, sent: Mapping[bytes, bytes]) -> bytes:
    """What makes another answer besides what is asked for and the answers' own `Vary`.

    `plan` stands for the route, `vary` are its own headers, and `user` is `None` where users share answers.
    """
    places = sorted(name for name in sent if _is_of_the_address(name))
    return digest(
        plan,
        *(sent.get(name) for name in (*_ALWAYS, *vary)),
        digest(*(part for name in places for part in (name, sent[name]))),
        digest(*_OF_FORWARDED.findall(sent.get(b"forwarded", b""))),
        None if user is None else _user(user),
    )


def _is_of_the_address(name: bytes) -> bool:
    # Many frameworks read a name with underscores as the one with hyphens.
    name = name.replace(b"_", b"-")
    return name.startswith(_PLACES) and name not in _NEVER


def _user(user: User) -> bytes:
    """Also what the user may: a token with other rights gets other answers, also before the old ones end."""
    roles, scopes = (digest(*map(_bytes, sorted(rights))) for rights in (user.roles, user.scopes))
    tier = None if user.tier is None else _bytes(user.tier)
    return digest(_bytes(user.id), tier, roles, scopes, *(part for pair in user.headers for part in pair))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def read_lines(data: bytes) -> dict[bytes, bytes]:
    """Header lines as they go out, by name in lower case; several of one name are one list."""
    sent: dict[bytes, bytes] = {}
    for key, value in read_pairs(data):
        name, value = key.lower(), value.strip(b" \t")
        sent[name] = sent[name] + b", " + value if name in sent else value
    return sent


def read_pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    """The same as they stand there."""
    lines = (line.partition(b": ") for line in data.split(b"\r\n"))
    return [(name, value) for name, colon, value in lines if colon]


def read_vary(headers: Iterable[tuple[bytes, bytes]]) -> Names | None:
    """By which request headers an answer varies; `None` when nobody can tell (`*`), or by too many.

    An answer for one `Origin`, and a body in one encoding, vary by these also when they don't say so.
    """
    names: set[bytes] = set()
    for key, value in headers:
        match key.lower():
            case b"vary":
                names.update(name for part in value.split(b",") if (name := part.strip().lower()))
            case b"access-control-allow-origin" if value.strip() != b"*":
                names.add(b"origin")
            case b"content-encoding" if value.strip().lower() != b"identity":
                names.add(b"accept-encoding")
    return together(names)


def together(*names: Iterable[bytes]) -> Names | None:
    """All of these; `None` for what can't be kept apart."""
    every = tuple(sorted({name for some in names for name in some}))
    if b"*" in every or not _ANEW.isdisjoint(every):
        return None
    return every if len(every) <= MOST_NAMES and sum(map(len, every)) <= MOST_LENGTH else None


def names_of(names: Sequence[str]) -> Names:
    """Names from the settings."""
    return tuple(sorted({name.lower().encode() for name in names}))
