"""What is forwarded, in both directions, on header pairs as they stand on the wire.

Rules of this file: order, case and duplicates are kept. What the gateway vouches for is taken out of
the client's headers first and set afterwards, so that nothing a client sends (a spoofed header, its
twin with underscores, a name listed in `Connection`) can add to it, replace it or remove it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from balancer.model import Headers

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

FOR_US = frozenset({b"expect", b"proxy", b"x-internal-key"})
"""Ends here. `Expect` is answered by the server in front (as nginx does), the key is a secret between
peers and this gateway, and `Proxy` becomes HTTP_PROXY in CGI programs (httpoxy)."""

FROM_PROXIES = frozenset({b"forwarded", b"x-real-ip"})
"""Passed on from a trusted proxy only; not set by this gateway."""

GUARDED = HOP_BY_HOP | NOT_FOR_CONNECTION | VOUCHED | FOR_US | FROM_PROXIES
"""Names whose twins with underscores are dropped: many frameworks read both as one variable."""

VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_BROKEN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class ForwardFacts:
    """What the gateway knows of a request, and the route's wishes."""

    peer: str
    """The address at the other end of the socket, never one from a header."""
    scheme: str
    """`http` or `https`: how the client's connection reached this gateway."""
    request_id: str
    """Visible ASCII: made here, or checked by the gateway before it was believed."""
    peer_trusted: bool = False
    """The peer is one of `trusted_proxies`."""
    user_id: str | None = None
    """From the verified token; `None` sends no `X-User-Id` at all."""
    set_headers: tuple[tuple[bytes, bytes], ...] = ()
    """The route's own headers: each replaces what the client sent under that name."""
    pass_host: bool = True
    """False leaves `Host` out; the upstream then names the instance."""


def for_upstream(headers: Headers, facts: ForwardFacts) -> Headers:
    """The headers of a client's request as an instance gets them."""
    removed = HOP_BY_HOP | VOUCHED | FOR_US | _listed_in_connection(headers)
    removed |= {name.lower() for name, _ in facts.set_headers}
    if not facts.peer_trusted:
        removed |= FROM_PROXIES
    if not facts.pass_host:
        removed |= {b"host"}
    sent = [(name, value) for name, value in headers if name.lower() not in removed and not _is_twin(name)]
    wished = [(name, value) for name, value in facts.set_headers if name.lower() not in VOUCHED]
    return [*sent, *wished, *_vouched_for(headers, facts)]


def for_client(headers: Headers) -> Headers:
    """The headers of an instance's answer as the client gets them."""
    removed = HOP_BY_HOP | {b"server"} | _listed_in_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if (lower := name.lower()) not in removed and not lower.startswith(b"x-quaymaster-")
    ]


def fault_of_answer(status: int, reason: bytes, headers: Headers) -> str | None:
    """Why the head of an answer must not be passed on, or `None`.

    An answer nobody asked for, or one whose length two parties may read differently, would let one
    instance speak into the answers of others.
    """
    if not 200 <= status <= 599:
        return f"status {status}"
    if any(_TOKEN.fullmatch(name) is None or _BROKEN_VALUE.search(value) for name, value in headers):
        return "malformed header"
    if _BROKEN_VALUE.search(reason):
        return "malformed reason phrase"
    codings, lengths = values_of(headers, b"transfer-encoding"), values_of(headers, b"content-length")
    if codings and (len(codings) > 1 or codings[0].strip().lower() != b"chunked"):
        return "transfer-encoding other than chunked"
    if len(lengths) > 1 or (lengths and codings):
        return "length given twice"
    return None


def fault_of_request(headers: Headers) -> str | None:
    """Why these headers can't be written on a wire, or `None`."""
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            return "malformed header name"
        if _BROKEN_VALUE.search(value):
            return "control character in a header"
    return None


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """Every value under that (lower-case) name, in order."""
    return [value for key, value in headers if key.lower() == name]


def _vouched_for(headers: Headers, facts: ForwardFacts) -> Headers:
    """Read from what the client sent before anything was removed: a chain a trusted proxy vouches for
    is not lost to a `Connection: X-Forwarded-For` that it let through."""
    chain = [facts.peer.encode()]
    scheme, host = facts.scheme.encode(), b"".join(values_of(headers, b"host")[:1])
    if facts.peer_trusted:
        chain = [*_all_of(headers, b"x-forwarded-for"), *chain]
        scheme = b"".join(values_of(headers, b"x-forwarded-proto")[-1:]) or scheme
        host = b"".join(values_of(headers, b"x-forwarded-host")[-1:]) or host
    vouched = [(b"X-Forwarded-For", b", ".join(chain)), (b"X-Forwarded-Proto", scheme)]
    if host:
        vouched.append((b"X-Forwarded-Host", host))
    if facts.user_id is not None:
        vouched.append((b"X-User-Id", encode_user(facts.user_id)))
    vouched.append((b"X-Request-Id", facts.request_id.encode()))
    return vouched


def encode_user(user_id: str) -> bytes:
    """Percent-encodes all but visible ASCII, and `%` itself: two users never become one header value."""
    return quote(user_id, safe=VISIBLE_ASCII.replace("%", ""), errors="surrogatepass").encode()


def _listed_in_connection(headers: Headers) -> frozenset[bytes]:
    return frozenset(name.lower() for name in _all_of(headers, b"connection")) - NOT_FOR_CONNECTION


def _all_of(headers: Headers, name: bytes) -> Iterable[bytes]:
    """The members of a comma-separated list, over all lines of that name."""
    return (
        member for value in values_of(headers, name) for part in value.split(b",") if (member := part.strip())
    )


def _is_twin(name: bytes) -> bool:
    return b"_" in name and name.lower().replace(b"_", b"-") in GUARDED
