"""The query string of a read: what it filters, and how long it may wait. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.agent.durations import BadDuration, parse_duration

DEFAULT_WAIT_S = 300.0
MAX_WAIT_S = 600.0
JITTER = 16
"""Consul adds up to wait/16, so that many waiters do not come back in the same moment."""

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

UNSUPPORTED = ("filter", "node-meta", "ns", "partition", "peer", "sg")
"""Each would narrow the answer. Ignored, it would answer a question nobody asked."""


class BadQuery(ValueError):
    """A query that can't be answered. `status` is the HTTP status, the message is for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Query:
    index: int = 0
    """Wait while the answer's index is not above this; 0 means: don't wait."""
    wait_s: float = DEFAULT_WAIT_S
    passing: bool = False
    tags: tuple[str, ...] = ()
    consistency: str = "leader"
    pretty: bool = False

    def patience_s(self, chance: float) -> float:
        """Seconds to wait at most; `chance` is uniform in [0, 1)."""
        return self.wait_s * (1 + chance / JITTER)


def read_query(pairs: Iterable[tuple[str, str]], datacenter: str) -> Query:
    """Reads the decoded pairs; what it does not know it leaves alone, as Consul does. Raises `BadQuery`."""
    pairs = list(pairs)
    first: dict[str, str] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    for key in UNSUPPORTED:
        if first.get(key):
            raise BadQuery(f"?{key} is not supported by the embedded agent: use a real Consul agent for it")
    if first.get("dc", "") not in ("", datacenter):
        raise BadQuery("No path to datacenter", 500)
    if "stale" in first and "consistent" in first:
        raise BadQuery("Cannot specify ?stale with ?consistent, conflicting semantics.")
    return Query(
        index=_index(first.get("index", "")),
        wait_s=_wait(first.get("wait", "")),
        passing=_passing(first.get("passing")),
        tags=tuple(value for key, value in pairs if key == "tag"),
        consistency="stale" if "stale" in first else "consistent" if "consistent" in first else "leader",
        pretty="pretty" in first,
    )


def read_flag(text: str) -> bool | None:
    """Go's spellings of a boolean; `None` for anything else."""
    return True if text in TRUE else False if text in FALSE else None


def _index(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise BadQuery("Invalid index")
    return int(text)


def _wait(text: str) -> float:
    if not text:
        return DEFAULT_WAIT_S
    try:
        seconds = parse_duration(text)
    except BadDuration:
        raise BadQuery("Invalid wait time") from None
    return min(seconds, MAX_WAIT_S) if seconds > 0 else DEFAULT_WAIT_S


def _passing(text: str | None) -> bool:
    if text is None:
        return False
    flag = True if text == "" else read_flag(text)
    if flag is None:
        raise BadQuery("Invalid value for ?passing")
    return flag
