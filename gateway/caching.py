"""What a shared cache may keep, and what it may answer with it (RFC 9111; RFC 5861 for errors).

Rules of this file: facts go in, a decision comes out; `now` is always Unix seconds. Where the RFC leaves a
choice, the answer that is not kept is the right one: no cookie is handed to two clients, no part is taken for
the whole, and what an instance meant for one caller is not shared because it forgot to say so.
"""

from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import NamedTuple

from gateway.cache_control import AnswerControl, RequestControl, read_answer, read_request
from gateway.cache_keys import CREDENTIALS, Names, read_vary
from gateway.conditional import PRECONDITIONS, is_not_modified, is_tag, names_tag, refreshed
from gateway.http_dates import read_date

Headers = Sequence[tuple[bytes, bytes]]

KEPT_WHEN_TOLD = frozenset({200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501})
"""Statuses of answers that are kept when they say for how long."""
KEPT_BY_TTL = frozenset({200, 203, 204, 300, 301, 308, 404, 410})
"""Those that are kept for the route's `ttl_s`, when they don't."""
SERVER_FAULTS = frozenset({500, 502, 503, 504})
"""In place of which an older answer is used, as far as it may (RFC 5861, 4)."""

ASKED_ABOUT_S = 3600.0
"""How long an answer that is not fresh any more is kept to ask its instance whether it is still the same."""
LIKELY_ENDLESS = (b"text/event-stream", b"multipart/x-mixed-replace")
"""Kinds of answers that don't end."""

_NOT_KEPT = frozenset(
    {b"age", b"content-length", b"proxy-authentication-info", b"set-cookie", b"x-request-id"}
)
"""Of one answer only, or made anew for each."""


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


class Terms(NamedTuple):
    """On which an answer may be kept: a `Stored` without a body."""

    head: Stored
    vary: Names

    def with_body(self, body: bytes) -> Stored:
        return self.head._replace(body=body)


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


def judge_answer(
    plan: Plan,
    asked: Asked,
    status: int,
    reason: bytes,
    headers: Headers,
    passed: Headers,
    sent_at: float,
    now: float,
) -> Terms | str:
    """On which terms the answer to a GET may be kept, or why it may not (RFC 9111, 3).

    `headers` are as they came, `passed` those that clients get; the request went out at `sent_at`.
    """
    said = _Said.of(headers)
    refused = _refusal(asked, status, said)
    if refused:
        return refused
    vary = read_vary(headers)
    if vary is None:
        return "vary"
    fresh_s, by_ttl = _lifetime(plan, status, said, now)
    control = said.control
    stale_s = plan.stale_if_error_s if control.stale_if_error_s is None else float(control.stale_if_error_s)
    if fresh_s is None:
        return "lifetime"
    if by_ttl and asked.personal:
        return "credentials"
    kept = [pair for pair in passed if pair[0].lower() not in _NOT_KEPT]
    if said.date is None:
        # Its age is counted from here on, also by the next cache (RFC 9110, 6.6.1).
        kept = [pair for pair in kept if pair[0].lower() != b"date"]
        kept.append((b"Date", formatdate(now, usegmt=True).encode()))
    terms = Stored(
        status=status,
        reason=reason,
        headers=tuple(kept),
        body=b"",
        born_at=now - _age_s(said, sent_at, now),
        fresh_s=fresh_s,
        stale_s=stale_s,
        strict=control.must_revalidate,
        always_ask=control.no_cache,
        by_ttl=by_ttl,
        etag=said.etag if is_tag(said.etag) else b"",
        modified=said.modified if read_date(said.modified) is not None else b"",
    )
    return Terms(terms, vary) if terms.keep_s(now) > 0 else "lifetime"


class _Said(NamedTuple):
    """What an answer's headers say of its being kept."""

    control: AnswerControl
    expires: int | None
    """Unix seconds; 0, which is long ago, for a date that is none."""
    date: int | None
    age_s: int
    etag: bytes
    modified: bytes
    cookies: bool
    partial: bool
    kind: bytes

    @classmethod
    def of(cls, headers: Headers) -> "_Said":
        by_name: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            by_name.setdefault(name.lower(), []).append(value.strip(b" \t"))
        age = b"".join(by_name.get(b"age", ())[:1])
        expires = by_name.get(b"expires")
        dates = by_name.get(b"date", ())
        return cls(
            control=read_answer(by_name.get(b"cache-control", ())),
            expires=None if expires is None else (read_date(expires[0]) or 0) if len(expires) == 1 else 0,
            date=read_date(dates[0]) if len(dates) == 1 else None,
            age_s=int(age) if age.isdigit() and len(age) <= 10 else 0,
            etag=b"".join(by_name.get(b"etag", ())[:1]),
            modified=b"".join(by_name.get(b"last-modified", ())[:1]),
            cookies=b"set-cookie" in by_name or b"set-cookie2" in by_name,
            partial=b"content-range" in by_name,
            kind=b"".join(by_name.get(b"content-type", ())).lower(),
        )


def _refusal(asked: Asked, status: int, said: _Said) -> str:
    """Why an answer is not for keeping, whatever its lifetime; empty if it is."""
    control = said.control
    if status not in KEPT_WHEN_TOLD or said.partial:
        return "status"
    if asked.control.no_store or control.no_store:
        return "no-store"
    if control.private:
        return "private"
    if said.kind.startswith(LIKELY_ENDLESS):
        return "endless"
    if said.cookies:
        return "set-cookie"
    if asked.authorised and not control.shared:
        return "credentials"
    return ""


def _lifetime(plan: Plan, status: int, said: _Said, now: float) -> tuple[float | None, bool]:
    """How long the answer is fresh, and whether only the route says so; `None`: nobody does."""
    if said.control.max_age_s is not None:
        return float(said.control.max_age_s), False
    if said.expires is not None:
        return max(0.0, said.expires - (now if said.date is None else said.date)), False
    if said.control.no_cache and (said.etag or said.modified):
        return 0.0, False
    if plan.ttl_s is None or status not in KEPT_BY_TTL:
        return None, False
    return plan.ttl_s, True


def _age_s(said: _Said, sent_at: float, now: float) -> float:
    """RFC 9111, 4.2.3; a clock that was put back counts as one that stood still."""
    delay_s = max(0.0, now - sent_at)
    apparent_s = 0.0 if said.date is None else max(0.0, now - said.date)
    # Dates are whole seconds: what was made in this one is not old.
    apparent_s = apparent_s if apparent_s >= 1.0 else 0.0
    return max(apparent_s, said.age_s + delay_s)


def confirmed(about: Stored, told: Headers) -> bool:
    """Whether a 304 that says `told` is about that answer (RFC 9111, 4.3.4)."""
    etag, _ = validators_of(told)
    return not etag or not about.etag or names_tag(etag, about.etag)


def validators_of(headers: Headers) -> tuple[bytes, bytes]:
    """`ETag` and `Last-Modified`, empty where there is none."""
    said = {name.lower(): value.strip(b" \t") for name, value in reversed(headers)}
    return said.get(b"etag", b""), said.get(b"last-modified", b"")


def announced_length(status: int, headers: Headers) -> int | None:
    """How long the body is at least; `None` where only the end of a connection tells that it was all.

    Such a body looks whole when it was cut short.
    """
    said = {name.lower(): value.strip(b" \t") for name, value in headers}
    length = said.get(b"content-length", b"")
    if length.isdigit():
        return int(length)
    return 0 if status == 204 or b"transfer-encoding" in said else None


def is_known_to(asked: Asked, stored: Stored) -> bool:
    """Whether the client has that answer already, so that a 304 says it all."""
    if not 200 <= stored.status < 300:
        return False
    return is_not_modified(asked.headers, stored.etag, stored.modified)
