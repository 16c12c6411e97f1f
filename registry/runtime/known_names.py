"""The names of all services, as the registry last told them: so that a guessed name costs it nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from registry.model import Failed, ServiceName

log = structlog.get_logger()


class KnownNames:
    """Who exists. Failures are counted in `failures`; `changed` is called when the names differ."""

    def __init__(
        self, failures: Counter[str], clock: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        self._failures = failures
        self._clock = clock
        self._changed = changed
        self.known: frozenset[ServiceName] = frozenset()
        self.answered_at: float | None = None
        self.failure: str | None = None
        self.told = asyncio.Event()
        """Set by the first answer or failure."""

    def resume(self, names: frozenset[ServiceName], answered_at: float) -> None:
        """What the last run knew."""
        self.known, self.answered_at = names, answered_at

    def take(self, news: frozenset[ServiceName] | Failed) -> None:
        """What the registry says now. A failure takes no name away."""
        if isinstance(news, Failed):
            self._failures[news.reason] += 1
            if news.reason != self.failure:
                log.warning("names_failed", reason=news.reason, detail=news.detail)
            self.failure = news.reason
        else:
            if news != self.known:
                self._changed()
            self.known, self.answered_at, self.failure = news, self._clock(), None
        self.told.set()
