"""The ledger of a load: every call that was made, and what instances executed of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client, ended. Times are monotonic seconds, which all processes of a machine share."""

    request_id: str
    method: str
    port: int
    """Of the gateway."""
    sent_at: float
    took_s: float
    status: int | None
    """`None`: no answer, or not all of it."""
    reason: str = ""
    """The gateway's `reason`, or the client's word for what went wrong."""
    instance: str = ""
    """Who answered."""
    retry_after: bool = False

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def ended_at(self) -> float:
        return self.sent_at + self.took_s

    @property
    def how_it_failed(self) -> str:
        what = "no answer" if self.status is None else str(self.status)
        return f"{self.method} {what} {self.reason}".rstrip()


@dataclass(frozen=True, slots=True)
class Seen:
    """One execution, as an instance wrote it down before it answered."""

    at: float
    method: str
    request_id: str
    instance: str


@dataclass(slots=True)
class CallLedger:
    calls: list[Call] = field(default_factory=list)

    def add(self, call: Call) -> None:
        self.calls.append(call)

    def since(self, start: float, until: float = float("inf")) -> "CallLedger":
        """The calls that were sent in that time."""
        return CallLedger([call for call in self.calls if start <= call.sent_at < until])

    def of(self, method: str) -> "CallLedger":
        return CallLedger([call for call in self.calls if call.method == method])

    def of_gateway(self, port: int) -> "CallLedger":
        return CallLedger([call for call in self.calls if call.port == port])

    @property
    def failed(self) -> list[Call]:
        return [call for call in self.calls if not call.good]

    def failures(self) -> Counter[str]:
        return Counter(call.how_it_failed for call in self.failed)

    def longest_gap_s(self) -> float:
        """Between the ends of two successes in a row."""
        ends = sorted(call.ended_at for call in self.calls if call.good)
        return max((later - sooner for sooner, later in pairwise(ends)), default=0.0)

    def slower_than(self, seconds: float) -> list[Call]:
        return [call for call in self.calls if call.took_s > seconds]

    def slowest_s(self) -> float:
        return max((call.took_s for call in self.calls), default=0.0)

    def at_share_s(self, share: float) -> float:
        """The time that this share of the calls did not exceed."""
        times = sorted(call.took_s for call in self.calls)
        return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0

    def first_answer_of(self, instance: str, since: float) -> float | None:
        """Seconds from `since` to the first call that this instance answered well."""
        ends = (c.ended_at for c in self.calls if c.instance == instance and c.good and c.sent_at >= since)
        first = min(ends, default=None)
        return None if first is None else first - since


def read_seen(instance: str, text: str) -> list[Seen]:
    """An instance's file; a last line that its death cut short is left out."""
    lines = (line.split(" ") for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return [Seen(float(at), method, name.rstrip(), instance) for at, method, name in lines]


def executed_twice(seen: Iterable[Seen], method: str) -> list[str]:
    """Requests of that method that instances executed more than once."""
    times = Counter(one.request_id for one in seen if one.method == method)
    return [name for name, count in times.items() if count > 1]


def amplification(calls: CallLedger, seen: Sequence[Seen]) -> float:
    """Executions for each call."""
    asked = {call.request_id for call in calls.calls}
    return sum(one.request_id in asked for one in seen) / max(1, len(asked))
