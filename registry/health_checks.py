"""Our own opinion of an instance, by asking it: what is asked, and when an answer changes the opinion.

Rules of this file: Consul's verdict is another one and is kept apart; merge.py says what the two mean
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from registry.model import NO_META


@dataclass(frozen=True, slots=True)
class HealthCheckPolicy:
    """How the instances of one service are asked. Durations in seconds."""

    kind: Literal["http", "tcp"] = "http"
    path: str = "/health"
    interval_s: float = 5.0
    """From one answer to the next question, give or take a tenth."""
    timeout_s: float = 1.0
    up: int = 2
    """Good answers in a row until an instance that was down counts as up."""
    down: int = 3
    """Bad answers in a row until an instance that was up counts as down."""
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    """From, to, both included."""
    expect_headers: Mapping[str, str] = field(default_factory=lambda: NO_META)
    """What an answer must carry; `{id}` stands for the instance's id, so that a process which took over its
    address does not answer for it."""
