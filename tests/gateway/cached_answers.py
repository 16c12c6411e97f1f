"""Requests, answers, and what is kept of them, in few words."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from gateway.caching import Asked, Plan, Stored, read_asked
from gateway.caching_terms import Terms, judge_answer

NOW = 1_800_000_000.0
PLAN = Plan(b"plan", None, 0.0, (), True)


def date(seconds: float) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


Lines = Mapping[str, str | bytes]


def pairs(lines: Lines) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), v if isinstance(v, bytes) else v.encode()) for name, v in lines.items()]


def asked(own_user: Any = False, **headers: str) -> Asked:
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return read_asked(sent, own_user)


def judged(
    lines: Lines,
    status: int = 200,
    by: Asked | None = None,
    sent_s: float = 0.0,
    **plan: Any,
) -> Terms | str:
    """Of an answer with these headers that has come now, `sent_s` after it was asked for."""
    headers = pairs(lines)
    by = by or asked()
    return judge_answer(PLAN._replace(**plan), by, status, b"", headers, headers, NOW - sent_s, NOW)


def kept(lines: Lines, **more: Any) -> Stored:
    terms = judged(lines, **more)
    assert isinstance(terms, Terms), terms
    return terms.with_body(b"hello")


FRESH: dict[str, str | bytes] = {"Cache-Control": "max-age=60"}
LONG_AGO = date(NOW - 10_000_000)
