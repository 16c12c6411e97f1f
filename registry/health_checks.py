"""Our own opinion of an instance, by asking it: what is asked, and when an answer changes the opinion.

Rules of this file: Consul's verdict is another one and is kept apart; merge.py says what the two mean
together. Nothing here asks: runtime/asking.py does, when runtime/checker.py says so.

* An instance that nobody has asked yet is used: its registration is the only evidence there is. Its first
  good answer makes it *up*, `down` bad ones in a row make it *down*; until then it is asked each second.
* Later it takes `down` bad answers in a row to call it down, and `up` good ones to call it up again.
* A question that this machine could not ask is no answer. A gateway without a free file descriptor, or one
  whose own event loop stood still, has learnt nothing of anybody.
* An answer counts for the place that was asked (instance, address, TLS): another process at that address,
  or the same one elsewhere, starts anew.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush
from random import Random
from typing import Literal, NamedTuple

from registry.model import NO_META, Endpoint, Instance, ServiceName, Verdict

FIRST_WITHIN_S = 1.0
"""A newcomer's first question comes somewhere in so long, so that a thousand newcomers are not asked at once;
and the next ones as often, until there is a first verdict."""
JITTER = 0.1
MAX_PER_S = 200.0
"""Questions a second, of all services together. One by HTTP costs this process half a millisecond (measured),
so that its checks never take more than a tenth of it; with more than 200 x `interval_s` instances each of
them is asked less often instead."""
BURST = 20
"""Of them at once."""


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


class Answer(StrEnum):
    """What came of a question. The bad ones are metric labels."""

    GOOD = "good"
    UNREACHABLE = "unreachable"
    """No connection: refused, or no way there."""
    TIMEOUT = "timeout"
    BROKEN = "broken"
    """A connection, and no whole answer over it."""
    STATUS = "status"
    IDENTITY = "identity"
    """Somebody else answers at that address."""
    NOT_ASKED = "not_asked"
    """This machine could not ask: it says nothing of the instance."""


def judge_answer(
    policy: HealthCheckPolicy, instance: Instance, status: int, headers: Mapping[str, str]
) -> Answer:
    """Whether an HTTP answer is good. `headers` finds names whatever their case."""
    if not any(first <= status <= last for first, last in policy.statuses):
        return Answer.STATUS
    expected = ((name, text.replace("{id}", instance.id)) for name, text in policy.expect_headers.items())
    same = all(headers.get(name) == text for name, text in expected)
    return Answer.GOOD if same else Answer.IDENTITY


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is thought of one instance."""

    verdict: Verdict = Verdict.UNCHECKED
    against: int = 0
    """Answers in a row that contradict the verdict."""

    def after(self, answer: Answer, policy: HealthCheckPolicy) -> "Opinion":
        """The opinion after one more answer."""
        if answer is Answer.NOT_ASKED:
            return self
        says = Verdict.UP if answer is Answer.GOOD else Verdict.DOWN
        if says is self.verdict:
            return self if self.against == 0 else Opinion(self.verdict)
        enough = policy.down if says is Verdict.DOWN else policy.up
        if says is Verdict.UP and self.verdict is Verdict.UNCHECKED:
            enough = 1
        return Opinion(says) if self.against + 1 >= enough else Opinion(self.verdict, self.against + 1)


@dataclass(frozen=True, slots=True)
class Question:
    """One asking of one instance."""

    number: int
    """Different for every question."""
    instance: Instance
    policy: HealthCheckPolicy
    asked_at: float = 0.0

    @property
    def place(self) -> "Place":
        return self.instance.service, self.instance.endpoint


Place = tuple[ServiceName, Endpoint]


class Change(NamedTuple):
    """Of one verdict."""

    before: Verdict
    after: Verdict


@dataclass(slots=True)
class _Checked:
    instance: Instance
    policy: HealthCheckPolicy
    number: int
    """Of the question that is under way, or next."""
    opinion: Opinion = field(default_factory=Opinion)


class CheckLedger:
    """Whom to ask when, and what is thought of whom. Times are seconds of any clock that never goes back."""

    def __init__(self, rng: Random, *, max_per_s: float = MAX_PER_S) -> None:
        self._rng = rng
        self._max_per_s = max_per_s
        self._allowed = float(BURST)
        """How many questions may be asked now, as of `_allowed_at`."""
        self._allowed_at = 0.0
        self._checked: dict[Place, _Checked] = {}
        self._of: dict[ServiceName, set[Endpoint]] = {}
        self._due: list[tuple[float, int, Place]] = []
        """A heap. What was removed or asked meanwhile is recognised by its number."""
        self._numbers = 0
        self._failed: dict[ServiceName, Counter[str]] = {}
        self._took_s: dict[ServiceName, float] = {}

    def follow(
        self,
        service: ServiceName,
        instances: Iterable[Instance],
        policy: HealthCheckPolicy | None,
        now: float,
    ) -> Collection[Place]:
        """From now on these are asked, and no others of the service; without a policy, nobody.

        Returns the places whose question of before, if one is under way, is worth nothing any more. What is
        known of those that stay is kept; by a new policy they are asked soon.
        """
        wanted = {i.endpoint: i for i in instances} if policy is not None else {}
        known = self._of.get(service, set())
        left = [(service, endpoint) for endpoint in known - wanted.keys()]
        for place in left:
            del self._checked[place]
        if policy is None:
            self._of.pop(service, None)
            self._failed.pop(service, None)
            self._took_s.pop(service, None)
            return left
        self._of[service] = set(wanted)
        for endpoint, instance in wanted.items():
            place = (service, endpoint)
            checked = self._checked.get(place)
            if checked is not None and checked.policy == policy:
                checked.instance = instance
                continue
            opinion = Opinion()
            if checked is not None:
                left.append(place)
                opinion = checked.opinion
            self._checked[place] = _Checked(instance, policy, self._number(), opinion)
            self._plan(place, now + self._rng.uniform(0, min(policy.interval_s, FIRST_WITHIN_S)))
        self._forget_the_removed()
        return left

    def due(self, now: float, room: int) -> Iterator[Question]:
        """The questions to ask now, the longest due first, at most `room`."""
        gained = max(0.0, now - self._allowed_at) * self._max_per_s
        self._allowed, self._allowed_at = min(float(BURST), self._allowed + gained), now
        while room > 0 and self._allowed >= 1.0 and self._due and self._due[0][0] <= now:
            _, number, place = heappop(self._due)
            checked = self._checked.get(place)
            if checked is not None and checked.number == number:
                room -= 1
                self._allowed -= 1.0
                yield Question(number, checked.instance, checked.policy, now)

    def next_due(self) -> float | None:
        """When `due` has something next, at the earliest; `None` while nothing waits."""
        if not self._due:
            return None
        short = max(0.0, 1.0 - self._allowed)
        return max(self._due[0][0], self._allowed_at + short / self._max_per_s) if short else self._due[0][0]

    def answered(self, question: Question, answer: Answer, now: float) -> "Change | None":
        """Takes an answer in and plans the next question. Says how the verdict changed, if it did.

        An answer to a question that nobody waits for any more changes nothing.
        """
        checked = self._checked.get(question.place)
        if checked is None or checked.number != question.number:
            return None
        before, policy = checked.opinion.verdict, checked.policy
        checked.opinion = checked.opinion.after(answer, policy)
        checked.number = self._number()
        undecided = checked.opinion.verdict is Verdict.UNCHECKED
        pause_s = min(policy.interval_s, FIRST_WITHIN_S) if undecided else policy.interval_s
        self._plan(question.place, now + pause_s * self._rng.uniform(1 - JITTER, 1 + JITTER))
        if answer is not Answer.GOOD:
            self._failed.setdefault(question.instance.service, Counter())[answer.value] += 1
        else:
            self._took_s[question.instance.service] = now - question.asked_at
        after = checked.opinion.verdict
        return Change(before, after) if after is not before else None

    def verdicts(self, service: ServiceName) -> Mapping[Endpoint, Verdict]:
        """What is thought of each instance of a service that is asked."""
        return {
            endpoint: self._checked[service, endpoint].opinion.verdict
            for endpoint in self._of.get(service, ())
        }

    def failed(self, service: ServiceName) -> Mapping[str, int]:
        """Questions without a good answer in total, by kind."""
        return self._failed.get(service, {})

    def took_s(self, service: ServiceName) -> float | None:
        """How long the latest good answer of the service took, `None` before the first."""
        return self._took_s.get(service)

    def __len__(self) -> int:
        return len(self._checked)

    def __repr__(self) -> str:
        found = Counter(checked.opinion.verdict.value for checked in self._checked.values())
        return f"<CheckLedger: {', '.join(f'{found[v.value]} {v.value}' for v in Verdict)}>"

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _plan(self, place: Place, at: float) -> None:
        heappush(self._due, (at, self._checked[place].number, place))

    def _forget_the_removed(self) -> None:
        """Keeps the heap as small as what it is about, however often instances come and go."""
        if len(self._due) > 2 * len(self._checked) + 16:
            numbers = {checked.number for checked in self._checked.values()}
            self._due = [each for each in self._due if each[1] in numbers]
            heapify(self._due)
