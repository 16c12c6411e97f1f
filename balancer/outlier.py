"""Which instances are put aside for the way their calls end, for how long, and who may come back."""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why an instance is put aside; a metric label."""

    CONNECT_FAILURES = "connect_failures"
    """It takes no connections: certain, so no limit holds for how many are put aside for it."""
    SERVER_ERRORS = "server_errors"
    SUCCESS_RATE = "success_rate"
    SELF = "self"
    """It asked for it."""
    REPORTS = "reports"
    """Its callers elsewhere say so."""


class AnswerHints(NamedTuple):
    """What an answer's head says about its instance beside the status. Seconds."""

    eject_s: float | None = None
    """It wants no calls for so long; 0 leaves the time to the policy (`X-Quaymaster-Eject: true`)."""
    slow_s: float | None = None
    """It wants fewer (429, or 503 with `Retry-After`) for so long."""
