"""Whether seats come from the store, or from what this gateway knows by itself (ALLOCATION 2.9).

The first call that the store does not answer ends exactness. A store that answers again may have lost
everything, or still believe what was true before: counting on it would send all clients to the few
handlers that it has heard of. So it is relied on when nearly all have reported to it since, or when all
had the time to.
"""

from enum import StrEnum

ENOUGH_UNHEARD = 0.1
"""The share of handlers that need not have reported: some are always dying, or have just."""
REPORTS = 2
"""After so many reports' time, who has not reported is gone."""


class Mode(StrEnum):
    EXACT = "exact"
    """The store reserves every seat."""
    DEGRADED = "degraded"
    """Each gateway estimates, and the handlers decide who gets in."""


# A member that is looked up in its enum costs as much as a call, and the mode is asked for with every seat.
EXACT, DEGRADED = Mode.EXACT, Mode.DEGRADED


class Outage:
    """Instants are of one monotonic clock. `report_s`: a handler reports at least so often."""

    def __init__(self, report_s: float) -> None:
        self._patience_s = REPORTS * report_s
        self._began_at: float | None = None
        self._answers_since: float | None = None

    @property
    def mode(self) -> Mode:
        return EXACT if self._began_at is None else DEGRADED

    def failed(self, now: float) -> bool:
        """The store did not answer. True if that is the beginning."""
        self._answers_since = None
        return self._begin(now)

    def lost(self, share: float, now: float) -> bool:
        """The store answers, and does not know that share of the handlers. True if that is the beginning."""
        if share <= ENOUGH_UNHEARD or self.mode is Mode.DEGRADED:
            return False
        self._answers_since = now
        return self._begin(now)

    def answered(self, now: float) -> None:
        """The store answers."""
        if self._answers_since is None:
            self._answers_since = now

    def answers_for_s(self, now: float) -> float:
        """How long the store has been answering again; 0 while it does not."""
        return 0.0 if self._answers_since is None else now - self._answers_since

    def over(self, unheard: float, now: float) -> float | None:
        """Whether that is the end, given the share of handlers that have not reported to the store since
        it answers: how long it lasted, or `None`."""
        if self._began_at is None or self._answers_since is None:
            return None
        if unheard > ENOUGH_UNHEARD and self.answers_for_s(now) < self._patience_s:
            return None
        lasted_s, self._began_at, self._answers_since = now - self._began_at, None, None
        return lasted_s

    def _begin(self, now: float) -> bool:
        if self._began_at is not None:
            return False
        self._began_at = now
        return True

    def __repr__(self) -> str:
        return f"<Outage: {self.mode.value}, store {'answers' if self._answers_since else 'was not asked'}>"
