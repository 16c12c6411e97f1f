"""Which instances are put aside for the way their calls end, for how long, and who may come back.

Why it is not optional: the dead instance always has the fewest connections, so least-connections
sends everything there (a naive gateway lost 23 % of its POSTs that way, RELIABILITY 1.4).

The rules, most of them Envoy's (outlier_detection.proto, its documentation "Outlier detection"):

* Connections in a row that could not be made are certain: nothing is gained by sending there.
* Tries in a row that ended in a 5xx, a timeout or a broken connection; a success rate far below that of
  the rest; the instance's own wish; callers' reports: these are statistics, and statistics may be wrong.
  So at most `max_percent` of the usable instances are put aside by them, and never the only one.
* It lasts `base_s` times how often it happened in a row, `max_s` at most. Envoy lets everybody back
  then; here one try goes there, and its end decides for all (a half-open circuit for each instance). Only
  what was somebody's word (`self`, `reports`) is over by itself.
* A try is evidence of the time in which it began. Who is put aside is judged by its probe alone, and who
  came back only by tries that began since: fifty calls that meet one fault are one fault.

Rules of this file: outcomes and time change records; who gets calls is derived elsewhere (eligibility.py).
"""

from collections.abc import Collection
from math import inf

from balancer.hints import AnswerHints
from balancer.model import Subset
from balancer.outcome import Outcome, Phase
from balancer.policy import EjectionPolicy
from balancer.record import Reason, Record
from balancer.records import Records
from balancer.success_rate import SuccessRates
from registry.model import Instance, InstanceId, InstanceKey

__all__ = ["UNKNOWN", "OutlierLedger", "Reason"]

UNKNOWN = inf
"""When a try began, for those who can't say."""
FIRST_SERVER_ERROR = 500
_UNPROBED = frozenset({Reason.SELF, Reason.REPORTS})


class OutlierLedger:
    """Of one service. `now` is monotonic seconds; `began` is the `now` at which a try was starting."""

    def __init__(self, policy: EjectionPolicy) -> None:
        self.policy = policy
        self.records = Records()
        self.aside: dict[InstanceKey, Record] = {}
        """Those put aside, longest ago first. While there are none, no start of a try needs to be told."""
        self.ejected_total: dict[str, int] = dict.fromkeys(Reason, 0)
        self.holds_until = -inf
        """What was derived from the records holds until then, as far as this ledger knows."""
        self.patience_s = 0.0
        """How long a change may wait until something is derived anew: a service of thousands, of which half
        fail at once, would have no time for anything else."""
        self.fresh: frozenset[InstanceId] = frozenset()
        """Put aside since then: for whoever waits, as good as tried."""
        self._suspicions = 0
        """How many usable ones are put aside by statistics."""
        self._limit = 0
        """The most that may be."""
        self._next_probe_at = inf
        """Nobody is due before that."""
        self._rates = SuccessRates(policy.window_s)

    # What happens to tries

    def starting(self, key: InstanceKey, now: float) -> None:
        """A try is about to go there. To one put aside whose time is over, it is the probe."""
        record = self.aside.get(key)
        if record is None:
            return
        record.asked_at = now
        certain = record.reason is Reason.CONNECT_FAILURES
        if record.probe is None and (certain or record.until <= now):
            record.probe, record.due = now, record.until <= now

    def answered(
        self, instance: Instance, status: int, hints: AnswerHints | None, now: float, began: float
    ) -> None:
        """The head of an answer is there. To be told of when someone is put aside, or a wish is expressed."""
        record = self.records.of(instance)
        eject_s, slow_s = hints or (None, None)
        if eject_s is not None:
            if self._wishes_to_leave(record, eject_s or self.policy.base_s, now, began):
                return
            slow_s = eject_s or self.policy.base_s
        if slow_s:
            self._spare(record, slow_s, now)
        well = status < FIRST_SERVER_ERROR or record.reason is Reason.CONNECT_FAILURES
        if well and record.reason is not None and _is_probe(record, began):
            # At the head, not at the end of the body: who answers is there, however long the answer is.
            self._put_back(record, now)

    def ended(
        self,
        instance: Instance,
        outcome: Outcome,
        status: int | None,
        now: float,
        began: float = UNKNOWN,
    ) -> None:
        """A try there ended so; `status` is that of its answer, `None` when there was none.

        A client that hung up says nothing, and neither does a 4xx against it.
        """
        record = self.records.get(instance.key)
        if record is None:
            record = self.records.of(instance)
        if record.reason is not None:
            self._ended_aside(record, outcome, status, now, began)
            return
        if began < record.back_at:
            return
        if outcome.ok and (status is None or status < FIRST_SERVER_ERROR):
            record.unconnected = record.errors = 0
            self._rates.count(record, 0, now)
        elif _bad(outcome, status):
            self._failed(record, outcome, now)

    def condemn(self, instance: Instance, now: float) -> bool:
        """Callers elsewhere say that it fails; says whether it is put aside for that."""
        record = self.records.of(instance)
        return record.reason is None and self._put_aside(record, Reason.REPORTS, now)

    # What time and the registry change

    def follow(self, instances: Collection[Instance], now: float) -> None:
        """The registry's view has changed."""
        records = self.records
        records.follow(instances, now)
        for record in [r for r in self.aside.values() if r not in records]:
            del self.aside[record.instance.key]
        self.obey(self.policy)

    def obey(self, policy: EjectionPolicy) -> None:
        """Takes the policy and counts anew what it limits."""
        self.policy, usable = policy, self.records.usable
        share = usable * policy.max_percent // 100
        self._limit = max(1, share) if usable > 1 and policy.max_percent else 0
        self._suspicions = sum(record.suspected for record in self.aside.values())
        self._rates.window_s = policy.window_s
        self.holds_until = -inf

    def settle(self, now: float) -> float:
        """Lets those back whose time is over without a probe, and those who are too many by now.

        Says when that is to be asked for again.
        """
        next_at, keep_s = inf, self.policy.max_s
        for record in list(self.aside.values()):
            lapses_at = record.until if record.reason in _UNPROBED else record.until + keep_s
            if record.probe is not None:
                continue
            if lapses_at <= now:
                self._put_back(record, now)
            else:
                next_at = min(next_at, lapses_at)
        if self._suspicions > self._limit:
            suspected = sorted((r for r in self.aside.values() if r.suspected), key=lambda r: r.until)
            for record in suspected[: self._suspicions - self._limit]:
                self._put_back(record, now)
        self._next_probe_at = -inf
        self.fresh = frozenset()
        return next_at

    def probe(
        self,
        tried: frozenset[InstanceId],
        now: float,
        *,
        repeatable: bool,
        panic: bool,
        subset: Subset | None = None,
    ) -> Instance | None:
        """An instance whose time aside is over, for a call that may find out whether it is well."""
        if now < self._next_probe_at:
            return None
        self._next_probe_at = inf
        for record in self.aside.values():
            if record.probe is not None or not (record.usable or (panic and record.serves_in_panic)):
                continue
            self._next_probe_at = min(self._next_probe_at, record.until)
            # A call that can't be repeated is lost if the probe fails, except where nothing can be sent.
            fits = repeatable or record.reason is Reason.CONNECT_FAILURES
            due_at = record.until if fits else record.until + self.policy.base_s
            if due_at > now or record.instance.id in tried:
                continue
            if subset is None or subset.holds(record.instance.tags):
                return record.instance
        return None

    # Verdicts

    def _failed(self, record: Record, outcome: Outcome, now: float) -> None:
        policy = self.policy
        self._rates.count(record, 1, now)
        if _unconnected(outcome):
            record.unconnected += 1
            if 0 < policy.connect_failures <= record.unconnected:
                self._put_aside(record, Reason.CONNECT_FAILURES, now)
                return
        else:
            record.unconnected = 0
            record.errors += 1
            if 0 < policy.server_errors <= record.errors and self._put_aside(
                record, Reason.SERVER_ERRORS, now
            ):
                return
        if self._rates.far_below_the_rest(record, policy.success_rate, policy.min_requests):
            self._put_aside(record, Reason.SUCCESS_RATE, now)

    def _ended_aside(
        self, record: Record, outcome: Outcome, status: int | None, now: float, began: float
    ) -> None:
        """Of one that is put aside only its probe is evidence; that it takes no connections is so always."""
        if _is_probe(record, began):
            record.probe = None
            self._changed(now)
            if not _bad(outcome, status):
                if outcome.ok:
                    self._put_back(record, now)
            elif record.due:
                self._probe_failed(record, outcome, now)
        elif _unconnected(outcome) and record.suspected and self.policy.connect_failures:
            self._is_unreachable(record, now)

    def _probe_failed(self, record: Record, outcome: Outcome, now: float) -> None:
        assert record.reason is not None
        if _unconnected(outcome) and self.policy.connect_failures:
            reason = Reason.CONNECT_FAILURES
        elif record.reason is Reason.CONNECT_FAILURES:
            reason = Reason.SERVER_ERRORS
        else:
            reason = record.reason
        if not self._put_aside(record, reason, now):
            self._put_back(record, now)

    def _wishes_to_leave(self, record: Record, seconds: float, now: float, began: float) -> bool:
        if record.reason is None or _is_probe(record, began):
            leaves = self._put_aside(record, Reason.SELF, now, seconds=seconds)
            if leaves:
                record.probe = None  # It has spoken: how its body ends is no other answer.
            return leaves
        if record.reason is Reason.SELF:
            # One wish, said by every answer that was under way: it is not put aside once more for each.
            record.until = max(record.until, now + min(seconds, self.policy.max_s))
            self._changed(now)
        return True

    def _spare(self, record: Record, seconds: float, now: float) -> None:
        if record.slow_until <= now:
            self._changed(now)
        record.slow_until = max(record.slow_until, now + min(seconds, self.policy.max_s))

    # Putting aside and back: nobody else changes a reason

    def _put_aside(self, record: Record, reason: Reason, now: float, seconds: float | None = None) -> bool:
        """Says whether it is: statistics don't put more aside than the policy allows."""
        policy, key = self.policy, record.instance.key
        was_suspected = record.suspected
        limited = reason is not Reason.CONNECT_FAILURES and record.usable and not was_suspected
        if limited and self._suspicions >= self._limit:
            return False
        record.reason = reason
        self._suspicions += record.suspected - was_suspected
        record.ejections = record.ejections + 1 if now < record.forgiven_at else 1
        lasts_s = min(policy.base_s * record.ejections if seconds is None else seconds, policy.max_s)
        record.until = now + lasts_s
        record.forgiven_at = inf
        record.unconnected = record.errors = 0
        self._rates.forget(record)
        self.aside.pop(key, None)
        self.aside[key] = record
        self.ejected_total[reason] += 1
        self._next_probe_at = min(self._next_probe_at, record.until)
        self._no_candidate(record, now)
        return True

    def _is_unreachable(self, record: Record, now: float) -> None:
        """One that is suspected takes no connections either: the same fault, and it lasts no longer."""
        record.reason = Reason.CONNECT_FAILURES
        self._suspicions -= 1
        self._no_candidate(record, now)

    def _put_back(self, record: Record, now: float) -> None:
        self._suspicions -= record.suspected
        lasted_s = min(self.policy.base_s * record.ejections, self.policy.max_s)
        record.reason = record.probe = None
        record.back_at = record.new_at = now
        record.forgiven_at = now + lasted_s
        del self.aside[record.instance.key]
        self._changed(now)

    def _no_candidate(self, record: Record, now: float) -> None:
        if self.patience_s:
            self.fresh |= {record.instance.id}
        self._changed(now)

    def _changed(self, now: float) -> None:
        self.holds_until = min(self.holds_until, now + self.patience_s)

    def __repr__(self) -> str:
        return f"<OutlierLedger: {len(self.aside)} of {len(self.records)} aside>"


def _unconnected(outcome: Outcome) -> bool:
    return outcome.blames_instance and outcome.phase is Phase.CONNECT


def _bad(outcome: Outcome, status: int | None) -> bool:
    return outcome.blames_instance or (status is not None and status >= FIRST_SERVER_ERROR)


def _is_probe(record: Record, began: float) -> bool:
    return record.probe is not None and began in (record.probe, UNKNOWN)
