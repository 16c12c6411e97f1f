"""What a shared cache may keep, and on which terms (RFC 9111, 3 and 4.2).

Rules of this file: facts go in, a decision comes out; `now` is always Unix seconds. Where the RFC leaves a
choice, the answer that is not kept is the right one: no cookie is handed to two clients, no part is taken for
the whole, and what an instance meant for one caller is not shared because it forgot to say so.
"""

from email.utils import formatdate
from typing import NamedTuple

from gateway.cache_control import AnswerControl, read_answer
from gateway.cache_keys import Names, read_vary
from gateway.caching import Asked, Headers, Plan, Stored
from gateway.conditional import is_tag
from gateway.http_dates import read_date

KEPT_WHEN_TOLD = frozenset({200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501})
"""Statuses of answers that are kept when they say for how long."""
KEPT_BY_TTL = frozenset({200, 203, 204, 300, 301, 308, 404, 410})
"""Those that are kept for the route's `ttl_s`, when they don't."""
LIKELY_ENDLESS = (b"text/event-stream", b"multipart/x-mixed-replace")
"""Kinds of answers that don't end."""

_NOT_KEPT = frozenset(
    {b"age", b"content-length", b"proxy-authentication-info", b"set-cookie", b"x-request-id"}
)
"""Of one answer only, or made anew for each."""


class Terms(NamedTuple):
    """On which an answer may be kept: a `Stored` without a body."""

    head: Stored
    vary: Names

    def with_body(self, body: bytes) -> Stored:
        return self.head._replace(body=body)


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


def announced_length(status: int, headers: Headers) -> int | None:
    """How long the body is at least; `None` where only the end of a connection tells that it was all.

    Such a body looks whole when it was cut short.
    """
    said = {name.lower(): value.strip(b" \t") for name, value in headers}
    length = said.get(b"content-length", b"")
    if length.isdigit():
        return int(length)
    return 0 if status == 204 or b"transfer-encoding" in said else None
