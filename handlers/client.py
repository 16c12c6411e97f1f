"""What a chat client does next: after an answer of the gateway, after a close code, when told to move.

The same decisions as in `clients/js/quaymaster.js`, for tests, bots and load. Rules of this file: no
socket and no clock; `now` is monotonic seconds, `unix` is the time of day in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from random import Random
from typing import Any, NamedTuple

from handlers.client_messages import (
    LONGEST_S,
    Destination,
    ReconnectAdvice,
    read_advice,
    read_destination,
    text_in,
)
from registry.backoff import full_jitter

STEADY_S = 5.0
"""A connection that held so long has worked: the back-off starts anew after it."""
FORGIVE_S = 30.0
"""So long a handler that failed is left out."""
MAX_EXCLUDED = 8
SHORTEST_S = 0.05
"""Between two questions: a gateway whose appointments are over when they come is not asked in a loop."""

GOES_ELSEWHERE = frozenset({1001, 1006, 1012, 1013, 4429, 4503})
"""It is the handler's trouble: ask for another one."""


class AfterClose(Enum):
    ASK = "ask"
    """For a new ticket; the same handler will do."""
    ASK_ELSEWHERE = "ask_elsewhere"
    STOP = "stop"
    """The application has said its last word."""


def after_close(code: int) -> AfterClose:
    """What a close code asks of a client; 1006 stands for a connection that broke or never was."""
    if 4000 <= code <= 4099 or 4410 <= code <= 4419:
        return AfterClose.STOP
    return AfterClose.ASK_ELSEWHERE if code in GOES_ELSEWHERE else AfterClose.ASK


class State(StrEnum):
    ASKING = "asking"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    MOVING = "moving"
    """Connected still, and on the way to another handler."""
    WAITING = "waiting"
    CLOSED = "closed"
    """For good."""


class Status(NamedTuple):
    """What there is to tell of a connection."""

    state: State
    handler: str | None = None
    why: str = ""
    wait_s: float = 0.0
    """While waiting: seconds until the next try."""
    moved_from: str | None = None
    """Of a connection that was taken over without a gap: the handler before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said; `status` 0 when it said nothing."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after: str | None = None


class Connect(NamedTuple):
    to: Destination


class Wait(NamedTuple):
    seconds: float
    why: str


class Renew(NamedTuple):
    """The token is refused: get a new one and ask again at once."""


class Stop(NamedTuple):
    why: str


class ClientLedger:
    """What one client remembers between its connections, and what follows from it."""

    def __init__(self, rng: Random, *, session_id: str | None = None, seq: int | None = None) -> None:
        self._rng = rng
        self._failures = 0
        self._failed: dict[str, float] = {}
        self._welcomed_at: float | None = None
        self._wish = self._new_wish()
        self._queue_token: str | None = None
        self.advice = ReconnectAdvice()
        self.session_id = session_id
        self.seq = seq
        """The highest number among the messages that were passed on."""
        self.last: str | None = None
        """The handler that last welcomed us."""

    def _new_wish(self) -> str:
        return f"{self._rng.getrandbits(96):024x}"

    def headers(self, now: float) -> dict[str, str]:
        """What the gateway is told beside token and user id."""
        self._failed = {handler: at for handler, at in self._failed.items() if now < at + FORGIVE_S}
        told = {
            "X-Client-Id": self._wish,
            "X-Last-Handler": None if self.last in self._failed else self.last,
            "X-Exclude-Handler": ", ".join(self._failed) or None,
            "X-Session-Id": self.session_id,
            "X-Queue-Token": self._queue_token,
        }
        return {name: value for name, value in told.items() if value is not None}

    def answered(self, answer: Answer, unix: float, *, renewed: bool = True) -> Connect | Wait | Renew | Stop:
        """`renewed` says that the token of this call was fetched for it."""
        if answer.status == 200:
            return self._granted(answer.body)
        if answer.status == 401 and not renewed:
            return Renew()
        why = text_in(answer.body.get("message")) or (
            f"the gateway answered {answer.status}" if answer.status else "the gateway does not answer"
        )
        if answer.status in (400, 401, 403):
            return Stop(why)
        self._failures += 1
        least = _seconds(answer.retry_after)
        if (token := text_in(answer.body.get("queue_token"))) is not None:
            self._queue_token = token
            # An appointment is ours alone: jitter would only make us late.
            return Wait(_until(answer.body.get("retry_at_ms"), unix, least), why)
        if answer.status == 503:
            # Better a handler that failed a while ago than none at all.
            self._failed.clear()
        return Wait(least + self._jitter(), why)

    def _granted(self, body: Mapping[str, Any]) -> Connect | Wait:
        self._wish = self._new_wish()
        self._queue_token = None
        to = read_destination(body)
        if to is None:
            self._failures += 1
            return Wait(self._jitter(), "the gateway's answer names no handler")
        self.advised(body.get("reconnect"))
        if self.session_id not in (None, to.session_id):
            # Another session counts from its own beginning.
            self.seq = None
        self.session_id = to.session_id
        return Connect(to)

    def advised(self, told: Any) -> None:
        """New advice, from a grant or an advice frame."""
        self.advice = read_advice(told, self.advice)

    def welcomed(self, to: Destination, now: float) -> None:
        """We are in. A connection that moved has held since its first handler."""
        if self._welcomed_at is None:
            self._welcomed_at = now
        self.last = to.handler
        self._failed.pop(to.handler, None)

    def move_failed(self, to: Destination, code: int, now: float) -> None:
        """The connection stays where it was; if it breaks, it does not go there."""
        if after_close(code) is AfterClose.ASK_ELSEWHERE:
            self._exclude(to.handler, now)

    def ended(self, at: Destination, code: int, now: float) -> Wait | Stop:
        """A connection is over, or was never made."""
        welcomed_at, self._welcomed_at = self._welcomed_at, None
        verdict = after_close(code)
        if verdict is AfterClose.STOP:
            return Stop(f"{at.handler} closed the connection with {code}")
        if verdict is AfterClose.ASK_ELSEWHERE:
            self._exclude(at.handler, now)
        if welcomed_at is None:
            self._failures += 1
            return Wait(self._jitter(), f"{at.handler} can't be reached ({code})")
        held = now - welcomed_at >= STEADY_S
        self._failures = 0 if held else self._failures + 1
        # All clients of a handler lose it at the same moment: the advised window spreads them.
        low, high = self.advice.first_s
        delay = self._rng.uniform(low, high)
        return Wait(delay if held else max(delay, self._jitter()), f"{at.handler} closed ({code})")

    def is_news(self, seq: object) -> bool:
        """Whether a message with that number was not passed on yet. One without a number always is."""
        return type(seq) is not int or self.seq is None or seq > self.seq

    def passed_on(self, seq: object) -> None:
        if type(seq) is int:
            self.seq = seq

    def _exclude(self, handler: str, now: float) -> None:
        self._failed.pop(handler, None)
        self._failed[handler] = now
        if len(self._failed) > MAX_EXCLUDED:
            del self._failed[next(iter(self._failed))]

    def _jitter(self) -> float:
        return full_jitter(self._failures, self._rng, base_s=self.advice.base_s, cap_s=self.advice.cap_s)


def _seconds(retry_after: str | None) -> float:
    if not retry_after or not retry_after.isascii() or not retry_after.isdigit():
        return 0.0
    return min(float(retry_after), LONGEST_S)


def _until(retry_at_ms: object, unix: float, retry_after_s: float) -> float:
    """Seconds until an appointment: to the millisecond if our clock agrees with Retry-After."""
    exact = retry_at_ms / 1000 - unix if isinstance(retry_at_ms, int | float) else retry_after_s
    return max(SHORTEST_S, exact if abs(retry_after_s - exact) <= 2.0 else retry_after_s)
