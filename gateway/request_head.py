"""What the headers of a request say to the gateway, read once.

A client on a kept connection says the same headers again and again, so what was read from them is kept for
as long as it does (its connection remembers it), together with the header lines that went upstream.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from multidict import istr

from balancer.field_lines import FieldLines
from gateway.client_address import RELAY_SIGNS, Client, Network, find_client
from gateway.deadlines import DEADLINE, Malformed, read_deadline
from gateway.errors import usable_request_id
from gateway.identity import Era, Rejected, User, credentials
from gateway.trace_context import TraceHeaders, read_trace
from gateway.windows import Rule

HOP = "X-Quaymaster-Hop"
"""One per gateway a request has come through. Without it, an instance that is registered with the address
of a gateway would have one request go round until the sockets run out."""

RawHeaders = tuple[tuple[bytes, bytes], ...]

_HOST, _HOP, _UID, _ORIGIN = istr("Host"), istr(HOP), istr("uid"), istr("Origin")
_REQUEST_ID, _KEY = istr("X-Request-Id"), istr("Idempotency-Key")
_EXPECT, _UPGRADE, _DEADLINE = istr("Expect"), istr("Upgrade"), istr(DEADLINE)
_TRACEPARENT, _TRACESTATE = istr("traceparent"), istr("tracestate")
_FORWARDED_FOR, _FORWARDED_PROTO = istr("X-Forwarded-For"), istr("X-Forwarded-Proto")
_FORWARDED = istr("Forwarded")
_RELAY_SIGNS = tuple(map(istr, RELAY_SIGNS))


class Values(Protocol):
    """Case-insensitive headers with repeats: `multidict`'s interface, of which this much is used."""

    def get(self, key: str) -> str | None: ...
    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...
    def keys(self) -> Set[str]: ...
    def __contains__(self, key: object) -> bool: ...


@dataclass(slots=True)
class RequestHead:
    """Never changes but for the last five, which are what was made of it."""

    raw: RawHeaders
    """What it was read from."""
    client: Client
    hosts: Sequence[str]
    origin: str | None
    token: str | Rejected | None
    uids: Sequence[str]
    request_id: str
    """The client's own, empty unless it may be used."""
    hops: Sequence[str]
    keyed: bool
    """There is an `Idempotency-Key`."""
    expects: bool
    """There is an `Expect`."""
    upgrades: bool
    """There is an `Upgrade`."""
    deadline_s: float | Malformed | None
    """What the caller has left, if it says so."""
    trace: TraceHeaders
    """Which trace the request belongs to."""
    forwarded: "Forwarded | None" = None
    """What went upstream for these headers the last time."""
    internal: tuple[str, bool] | None = None
    """The last host that was asked with these headers, and whether they may use internal endpoints there."""
    counted: "Counted | None" = None
    """Under which limits the last request with these headers fell."""
    user: User | None = None
    """Whose the token is."""
    era: Era | None = None
    """As long as it is not over, that is still true."""


@dataclass(slots=True)
class Counted:
    """The rules of a request, and what they were made for."""

    plan: object
    user: User | None
    rules: tuple[Rule, ...]


@dataclass(slots=True)
class Forwarded:
    """Header lines as an instance gets them, and what they were made for."""

    prepared: object
    user: User | None
    lines: FieldLines
    asked: object | None = None
    """What they ask of the cache, once that was read."""


def read_head(headers: Values, raw: RawHeaders, peer: str, trusted: Sequence[Network]) -> RequestHead:
    """Reads the headers of a request from the socket's `peer`. `trusted` proxies are believed."""
    forwarded_for = headers.getall(_FORWARDED_FOR, ())
    given = headers.get(_REQUEST_ID) or ""
    return RequestHead(
        raw=raw,
        client=find_client(
            peer,
            forwarded_for,
            headers.getall(_FORWARDED_PROTO, ()),
            trusted,
            forwarded=headers.getall(_FORWARDED, ()),
            relay_signs=not headers.keys().isdisjoint(_RELAY_SIGNS),
        ),
        hosts=headers.getall(_HOST, ()),
        origin=headers.get(_ORIGIN),
        token=credentials(headers),
        uids=headers.getall(_UID, ()),
        request_id=given if given and usable_request_id(given) else "",
        hops=headers.getall(_HOP, ()),
        keyed=_KEY in headers,
        expects=_EXPECT in headers,
        upgrades=_UPGRADE in headers,
        deadline_s=read_deadline(headers.getall(_DEADLINE, ())),
        trace=read_trace(headers.getall(_TRACEPARENT, ()), headers.getall(_TRACESTATE, ())),
    )
