"""What a handler process has to tell the gateway: absolute counts, and tickets until acknowledged."""

from handlers.model import Epoch, HandlerId, Jti, Move, Report

MAX_WAITING = 100_000
MAX_PER_REPORT = 2_000
"""Tickets of each kind in one report: under 200 kB."""


class Outbox:
    """One report is under way at a time. What it carries stays here until `acknowledged`.

    While no gateway answers, the oldest news beyond `MAX_WAITING` is dropped: an unsaid confirmation
    leaves its seat held until the hold ends, which counts too much and never too little.
    """

    def __init__(self, handler: HandlerId, epoch: Epoch) -> None:
        self._handler, self._epoch = handler, epoch
        self._seq = 0
        self._confirmed: dict[Jti, None] = {}
        self._closed: dict[Jti, None] = {}
        self.changed = False
        """Something was noted that no report has carried so far."""

    def admitted(self, jti: Jti) -> None:
        _note(self._confirmed, jti)
        self.changed = True

    def left(self, jti: Jti) -> None:
        _note(self._closed, jti)
        self.changed = True

    def report(self, connections: int, *, leaving: bool = False, move: tuple[Move, ...] = ()) -> Report:
        """The next report, with a sequence of its own. Clients to `move` are asked for in this one only."""
        self._seq += 1
        confirmed, closed = _some(self._confirmed), _some(self._closed)
        self.changed = len(confirmed) < len(self._confirmed) or len(closed) < len(self._closed)
        return Report(self._handler, self._epoch, self._seq, connections, confirmed, closed, leaving, move)

    def acknowledged(self, report: Report) -> None:
        """The store has taken this one."""
        for jti in report.confirmed:
            self._confirmed.pop(jti, None)
        for jti in report.closed:
            self._closed.pop(jti, None)

    @property
    def unconfirmed(self) -> tuple[Jti, ...]:
        """Accepted here and not acknowledged: what a hello names as known."""
        return _some(self._confirmed)

    def __repr__(self) -> str:
        return f"<Outbox: seq {self._seq}, {len(self._confirmed)} to confirm, {len(self._closed)} to close>"


def _note(news: dict[Jti, None], jti: Jti) -> None:
    news[jti] = None
    if len(news) > MAX_WAITING:
        del news[next(iter(news))]


def _some(news: dict[Jti, None]) -> tuple[Jti, ...]:
    return tuple(jti for jti, _ in zip(news, range(MAX_PER_REPORT), strict=False))
