"""W3C Trace Context: which trace a request belongs to, as its headers say it, and said to the next one.

Rules of this file: what a caller sends is passed on as it came, or not at all. A `traceparent` that can't be
read takes its `tracestate` with it; a `tracestate` that can't goes alone (W3C Trace Context, 3.3 and 4.3).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
BOTH = frozenset({TRACEPARENT, TRACESTATE})
_NONE: frozenset[bytes] = frozenset()
_STATE_ONLY = frozenset({TRACESTATE})

KNOWN_FLAGS = 0x03
"""Sampled, and that the id of the trace is random; all others must not go on."""
MAX_MEMBERS = 32
MAX_STATE = 8192
"""Characters of `tracestate`; 512 must be passed on, and a header has no more than this."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KEY = re.compile(r"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class TraceContext(NamedTuple):
    """Where a request stands in its trace."""

    trace_id: str
    """32 hexadecimal digits, in lower case."""
    span_id: str
    """16 of them: of the span that sent the request."""
    flags: int
    state: str = ""
    """What tracing systems say to themselves, as one list; empty if there is nothing."""


class TraceHeaders(NamedTuple):
    """What a request's headers say of its trace."""

    context: TraceContext | None
    """`None` where they say nothing that can be used."""
    refused: frozenset[bytes]
    """The names of those that must not be passed on, in lower case."""


NO_TRACE = TraceHeaders(None, _NONE)


def read_trace(traceparents: Sequence[str], tracestates: Sequence[str]) -> TraceHeaders:
    """Reads all values of `traceparent` and of `tracestate`."""
    if not traceparents and not tracestates:
        return NO_TRACE
    parent = _parent(traceparents[0]) if len(traceparents) == 1 else None
    if parent is None:
        return TraceHeaders(None, BOTH)
    if not tracestates:
        return TraceHeaders(parent, _NONE)
    state = _state(tracestates)
    if state is None:
        return TraceHeaders(parent, _STATE_ONLY)
    return TraceHeaders(parent._replace(state=state), _NONE)


def traceparent(trace_id: str, span_id: str, flags: int) -> str:
    """The header for a request that this span sends."""
    return f"00-{trace_id}-{span_id}-{flags & KNOWN_FLAGS:02x}"


def _parent(value: str) -> TraceContext | None:
    """A newer version may say more behind what is known (W3C Trace Context, 3.2.4)."""
    found = _PARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & KNOWN_FLAGS)


def _state(values: Sequence[str]) -> str | None:
    """All lists as one, or `None` when that can't be one."""
    if sum(map(len, values)) > MAX_STATE:
        return None
    members = [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]
    keys = set()
    for member in members:
        key, found, value = member.partition("=")
        if not found or _KEY.fullmatch(key) is None or _VALUE.fullmatch(value) is None:
            return None
        keys.add(key)
    return ",".join(members) if len(keys) == len(members) <= MAX_MEMBERS else None
