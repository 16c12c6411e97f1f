"""What is forwarded, in both directions, on header pairs as they stand on the wire.

Rules of this file: order, case and duplicates are kept. What the gateway vouches for is taken out of
the client's headers first and set afterwards, so that nothing a client sends (a spoofed header, its
twin with underscores, a name listed in `Connection`) can add to it, replace it or remove it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from balancer.model import Headers

Pairs = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 7.6.1, and what is in use beside it. They speak of one connection and end there."""

NOT_FOR_CONNECTION = frozenset({b"content-length", b"host", b"set-cookie"})
"""Names that `Connection` may not remove: framing, routing and sessions depend on them."""

VOUCHED = frozenset(
    {
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-request-id",
        b"x-user-id",
    }
)
"""What instances may believe: set by the gateway on every request, whatever the client sent."""

EJECT = b"x-quaymaster-eject"
"""An instance asks to be left alone: seconds, or `true` (also `1`) for as long as the policy says."""

FOR_US = frozenset({b"expect", b"proxy", b"x-internal-key", b"x-request-timeout-ms", EJECT})
"""Ends here. `Expect` is answered by the server in front (as nginx does), the key is a secret between
peers and this gateway, `Proxy` becomes HTTP_PROXY in CGI programs (httpoxy), the time that is left is said
anew with each try, and only an instance may ask for its own ejection."""

OVERRIDES = frozenset(
    {b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-original-url", b"x-rewrite-url"}
)
"""Frameworks take the method or the path from these instead: not what was judged. A route may set them."""

FROM_PROXIES = frozenset({b"forwarded", b"x-real-ip"})
"""Passed on from a trusted proxy only; not set by this gateway."""

GUARDED = HOP_BY_HOP | NOT_FOR_CONNECTION | VOUCHED | FOR_US | FROM_PROXIES | OVERRIDES
"""Names whose twins with underscores are dropped: many frameworks read both as one variable."""

_REMOVED = HOP_BY_HOP | VOUCHED | FOR_US | OVERRIDES
_REMOVED_FROM_STRANGERS = _REMOVED | FROM_PROXIES
_REMOVED_FROM_ANSWERS = HOP_BY_HOP | {b"server"}
_ONLY_ABOUT_ITSELF = frozenset({b"close", b"keep-alive"})
"""What `Connection` says in nearly every message: it names no header."""

VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(slots=True)
class ForwardFacts:
    """What the gateway knows of a request, and the route's wishes."""

    peer: str
    """The address at the other end of the socket, never one from a header."""
    scheme: str
    """`http` or `https`: how the client's connection reached this gateway."""
    peer_trusted: bool = False
    """The peer is one of `trusted_proxies`."""
    client: str = ""
    """Who calls, as a trusted peer says: it may do so by `Forwarded` alone, which instances seldom read."""
    user_id: str | None = None
    """From the verified token; `None` sends no `X-User-Id` at all."""
    claims: tuple[tuple[bytes, bytes], ...] = ()
    """What else is vouched for of the user; header-safe. Their names are among `remove_headers`."""
    set_headers: tuple[tuple[bytes, bytes], ...] = ()
    """The route's own headers: each replaces what the client sent under that name."""
    remove_headers: frozenset[bytes] = frozenset()
    """In lower case. Of the client's; their twins with underscores go, too."""
    pass_host: bool = True
    """False leaves `Host` out; the upstream then names the instance."""


def for_upstream(headers: Pairs, facts: ForwardFacts) -> Headers:
    """The headers of a client's request as an instance gets them, but for `X-Request-Id`, which is never
    the same and comes last."""
    removed = _REMOVED if facts.peer_trusted else _REMOVED_FROM_STRANGERS
    if facts.set_headers or not facts.pass_host:
        removed |= {name.lower() for name, _ in facts.set_headers}
        removed |= {b"host"} if not facts.pass_host else frozenset()
    unwanted = facts.remove_headers
    if unwanted:
        removed |= unwanted
    sent: Headers = []
    listed = False
    host = b""
    for pair in headers:
        name = pair[0].lower()
        if name == b"host" and not host:
            host = pair[1]
        if name in removed:
            listed = listed or (name == b"connection" and pair[1].lower() not in _ONLY_ABOUT_ITSELF)
        # `in` would first try to take the bytes for a number, and costs ten times as much.
        elif name.find(b"_") < 0 or not _is_twin(name, unwanted):
            sent.append(pair)
    if listed:
        hop = _listed_in_connection(headers)
        sent = [pair for pair in sent if pair[0].lower() not in hop]
    for pair in facts.set_headers:
        if pair[0].lower() not in VOUCHED:
            sent.append(pair)
    _add_vouched(sent, headers, host, facts)
    return sent


def for_client(headers: Headers) -> Headers:
    """The headers of an instance's answer as the client gets them."""
    passed: Headers = []
    listed = False
    for pair in headers:
        if _is_for_clients(pair[0]):
            passed.append(pair)
        elif pair[0].lower() == b"connection":
            listed = listed or pair[1].lower() not in _ONLY_ABOUT_ITSELF
    if listed:
        hop = _listed_in_connection(headers)
        passed = [pair for pair in passed if pair[0].lower() not in hop]
    return passed


@lru_cache(maxsize=256)
def _is_for_clients(name: bytes) -> bool:
    """Remembered: the same names come with answer after answer."""
    name = name.lower()
    return name not in _REMOVED_FROM_ANSWERS and not name.startswith(b"x-quaymaster-")


def values_of(headers: Pairs, name: bytes) -> list[bytes]:
    """Every value under that (lower-case) name, in order."""
    return [value for key, value in headers if key.lower() == name]


def _add_vouched(sent: Headers, headers: Pairs, host: bytes, facts: ForwardFacts) -> None:
    """Read from what the client sent before anything was removed: a chain a trusted proxy vouches for
    is not lost to a `Connection: X-Forwarded-For` that it let through."""
    chain, scheme = facts.peer.encode(), facts.scheme.encode()
    if facts.peer_trusted:
        said = list(_all_of(headers, b"x-forwarded-for"))
        if not said and facts.client not in ("", facts.peer):
            said = [facts.client.encode()]
        chain = b", ".join([*said, chain])
        scheme = b"".join(values_of(headers, b"x-forwarded-proto")[-1:]) or scheme
        host = b"".join(values_of(headers, b"x-forwarded-host")[-1:]) or host
    sent.append((b"X-Forwarded-For", chain))
    sent.append((b"X-Forwarded-Proto", scheme))
    if host:
        sent.append((b"X-Forwarded-Host", host))
    if facts.user_id is not None:
        sent.append((b"X-User-Id", encode_user(facts.user_id)))
    sent.extend(facts.claims)


def guarded_names(names: Iterable[str]) -> frozenset[bytes]:
    """What is to be removed from clients so that these headers are only ours to set: see `remove_headers`."""
    lower = [name.lower().encode() for name in names]
    return frozenset(lower) | {name.replace(b"_", b"-") for name in lower}


def encode_user(user_id: str) -> bytes:
    """Percent-encodes all but visible ASCII, and `%` itself: two users never become one header value."""
    if user_id.isascii() and user_id.isalnum():
        return user_id.encode()
    return quote(user_id, safe=VISIBLE_ASCII.replace("%", ""), errors="surrogatepass").encode()


def encode_member(text: str) -> bytes:
    """As `encode_user`, for a list that is joined by commas: a member with a comma stays one."""
    return encode_user(text).replace(b",", b"%2C")


def _listed_in_connection(headers: Pairs) -> frozenset[bytes]:
    return frozenset(name.lower() for name in _all_of(headers, b"connection")) - NOT_FOR_CONNECTION


def _all_of(headers: Pairs, name: bytes) -> Iterable[bytes]:
    """The members of a comma-separated list, over all lines of that name."""
    return (
        member for value in values_of(headers, name) for part in value.split(b",") if (member := part.strip())
    )


def _is_twin(name: bytes, unwanted: frozenset[bytes]) -> bool:
    """`name` is in lower case."""
    twin = name.replace(b"_", b"-")
    return twin in GUARDED or twin in unwanted
