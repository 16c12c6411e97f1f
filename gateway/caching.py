"""What a shared cache may answer with what it keeps (RFC 9111, 4; RFC 5861 for errors).

Rules of this file: facts go in, a decision comes out; `now` is always Unix seconds. What may be kept is
decided in caching_terms.py.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.cache_control import RequestControl, read_request
from gateway.cache_keys import CREDENTIALS, Names
from gateway.conditional import PRECONDITIONS, is_not_modified, names_tag, refreshed

Headers = Sequence[tuple[bytes, bytes]]

SERVER_FAULTS = frozenset({500, 502, 503, 504})
"""In place of which an older answer is used, as far as it may (RFC 5861, 4)."""

ASKED_ABOUT_S = 3600.0
"""How long an answer that is not fresh any more is kept to ask its instance whether it is still the same."""


class Plan(NamedTuple):
    """What a route's settings say of its cache, made ready."""

    id: bytes
    """Stands for the route, its service and what it sends: what is kept for one is nothing to another."""
    ttl_s: float | None
    stale_if_error_s: float
    vary: Names
    per_user: bool
    reads: bool = True
    """Its method is answered from the cache; else it only drops what it may have changed."""


class Asked(NamedTuple):
    """What a request says, as far as a cache has to know it."""

    headers: Mapping[bytes, bytes]
    """As an instance gets them, names in lower case."""
    control: RequestControl
    own_user: bool
    """What is kept for this request is its user's alone."""
    bypass: str = ""
    """Why the cache has no part in this request."""

    @property
    def authorised(self) -> bool:
        return not self.own_user and not CREDENTIALS.isdisjoint(self.headers)

    @property
    def personal(self) -> bool:
        """An instance may know who asks, and not say that its answer is only for them."""
        return not self.own_user and (b"cookie" in self.headers or self.authorised)


class Stored(NamedTuple):
    """A kept answer."""

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    born_at: float
    """When its age was 0: Unix seconds."""
    fresh_s: float
    """At which age it is fresh no more."""
    stale_s: float
    """How much older it may get where nobody gives another answer."""
    strict: bool
    """It may not be used stale, whatever a client would take."""
    always_ask: bool
    """It may not be used unless its instance says that it is still the same."""
    by_ttl: bool
    """It has not said itself how long it is fresh."""
    etag: bytes
    modified: bytes

    def age_s(self, now: float) -> float:
        return max(0.0, now - self.born_at)

    def left_s(self, now: float) -> float:
        """For how long it is fresh yet; below 0 once it is not."""
        return self.fresh_s - self.age_s(now)

    @property
    def can_be_asked_about(self) -> bool:
        return bool(self.etag or self.modified)

    def renewed(self, told: Headers) -> list[tuple[bytes, bytes]]:
        """Its headers after a 304 that said `told`."""
        return refreshed(self.headers, told)

    def keep_s(self, now: float) -> float:
        """For how long it may be of use."""
        after_s = max(0.0 if self.strict else self.stale_s, ASKED_ABOUT_S if self.can_be_asked_about else 0.0)
        return (0.0 if self.always_ask else self.left_s(now)) + after_s

    @property
    def size(self) -> int:
        """Bytes of what it says."""
        return len(self.body) + len(self.reason) + sum(len(n) + len(v) for n, v in self.headers)


class Hit(NamedTuple):
    stored: Stored
    fresh: bool


class Forward(NamedTuple):
    """An instance is to be asked."""

    stored: Stored | None
    """What is to be had if it does not answer, and what it may be asked about."""
    why: str
    """As `Cache-Status` says it (RFC 9211, 2.2)."""


class Unavailable(NamedTuple):
    """Nothing may be sent, and nothing is kept: `only-if-cached`."""


def read_asked(headers: Mapping[bytes, bytes], own_user: bool) -> Asked:
    """What a GET or HEAD asks for. `own_user`: the key of what is kept names the user."""
    cache_control = headers.get(b"cache-control")
    control = read_request(() if cache_control is None else (cache_control,), headers.get(b"pragma", b""))
    bypass = ""
    if headers.get(b"content-length", b"0") != b"0":
        # An instance may take it for a part of the question, which no key says (a "fat GET").
        bypass = "body"
    elif b"range" in headers:
        bypass = "range"
    elif not PRECONDITIONS.isdisjoint(headers):
        bypass = "precondition"
    return Asked(headers, control, own_user, bypass)


def decide(stored: Stored | None, asked: Asked, now: float) -> Hit | Forward | Unavailable:
    """What becomes of a request for which that is kept, or nothing (RFC 9111, 4)."""
    control = asked.control
    found = _judge(stored, asked, now)
    return Unavailable() if control.only_if_cached and isinstance(found, Forward) else found


def _judge(stored: Stored | None, asked: Asked, now: float) -> Hit | Forward:
    control = asked.control
    if stored is None or (stored.by_ttl and asked.personal):
        return Forward(None, "miss")
    if control.no_cache:
        return Forward(stored, "request")
    age_s, left_s = stored.age_s(now), stored.left_s(now)
    if stored.always_ask:
        return Forward(stored, "stale")
    if control.max_age_s is not None and age_s > control.max_age_s:
        return Forward(stored, "stale" if left_s <= 0 else "request")
    if left_s > 0:
        return Hit(stored, True) if left_s >= control.min_fresh_s else Forward(stored, "request")
    if (
        control.max_stale_s
        and not control.min_fresh_s
        and not stored.strict
        and -left_s <= control.max_stale_s
    ):
        return Hit(stored, False)
    return Forward(stored, "stale")


def may_stand_in(stored: Stored | None, now: float) -> bool:
    """Whether that answer may be given because nobody gives a better one."""
    if stored is None or stored.strict or stored.always_ask:
        return False
    return stored.left_s(now) + stored.stale_s >= 0


def confirmed(about: Stored, told: Headers) -> bool:
    """Whether a 304 that says `told` is about that answer (RFC 9111, 4.3.4)."""
    etag, _ = validators_of(told)
    return not etag or not about.etag or names_tag(etag, about.etag)


def validators_of(headers: Headers) -> tuple[bytes, bytes]:
    """`ETag` and `Last-Modified`, empty where there is none."""
    said = {name.lower(): value.strip(b" \t") for name, value in reversed(headers)}
    return said.get(b"etag", b""), said.get(b"last-modified", b"")


def is_known_to(asked: Asked, stored: Stored) -> bool:
    """Whether the client has that answer already, so that a 304 says it all."""
    if not 200 <= stored.status < 300:
        return False
    return is_not_modified(asked.headers, stored.etag, stored.modified)
