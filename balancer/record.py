"""What is known of one instance: how its tries ended lately, the verdict on it, and since when it is here.

Rules of this file: plain state, one small object for each instance. Who is put aside, and who comes back,
is decided in outlier.py; what the times mean for its weight, in slow_start.py.
"""

from enum import StrEnum
from math import inf

from registry.model import Health, Instance


class Reason(StrEnum):
    """Why an instance is put aside; a metric label."""

    CONNECT_FAILURES = "connect_failures"
    """It takes no connections: certain, so there is no limit on how many are put aside for it."""
    SERVER_ERRORS = "server_errors"
    SUCCESS_RATE = "success_rate"
    SELF = "self"
    """It asked for it."""
    REPORTS = "reports"
    """Its callers elsewhere say so."""


class Tally:
    """Tries of a sliding window in two halves: the one that runs, and the one before it.

    So a sum is about the last half to whole window, for five integers and no list of moments.
    """

    __slots__ = ("all", "bad", "half", "old_all", "old_bad")

    def __init__(self) -> None:
        self.half = 0
        """The number of the half that runs. Who counts makes sure of it first (`turn`)."""
        self.all = self.bad = self.old_all = self.old_bad = 0

    def turn(self, half: int) -> None:
        """The time of that half has come, if it had not before."""
        if half != self.half:
            follows = half == self.half + 1
            self.old_all, self.old_bad = (self.all, self.bad) if follows else (0, 0)
            self.all = self.bad = 0
            self.half = half

    def sums(self, half: int) -> tuple[int, int]:
        """How many, and how many of them were bad."""
        self.turn(half)
        return self.all + self.old_all, self.bad + self.old_bad

    def move_out(self, whole: "Tally", half: int) -> None:
        """Forgets everything, also in the sum `whole` that it was part of."""
        self.turn(half)
        whole.turn(half)
        whole.all -= self.all
        whole.bad -= self.bad
        whole.old_all -= self.old_all
        whole.old_bad -= self.old_bad
        self.all = self.bad = self.old_all = self.old_bad = 0


class Record(Tally):
    """Of one instance key. Times are monotonic seconds."""

    __slots__ = (
        "asked_at",
        "back_at",
        "due",
        "ejections",
        "errors",
        "forgiven_at",
        "here",
        "instance",
        "left_at",
        "new_at",
        "probe",
        "reason",
        "slow_until",
        "unconnected",
        "until",
    )

    def __init__(self, instance: Instance) -> None:
        super().__init__()
        self.instance = instance
        """As it was described last."""
        self.unconnected = 0
        """Connections in a row that could not be made."""
        self.errors = 0
        """Tries in a row that ended in a 5xx, a timeout or a broken connection."""

        self.reason: Reason | None = None
        """Why it is put aside; `None` while it is not."""
        self.until = -inf
        """From then on one try may find out whether it is well."""
        self.probe: float | None = None
        """When that try began, while it is under way."""
        self.due = False
        """Whether that try came after `until`: only then its failure lengthens the time aside."""
        self.asked_at = -inf
        """When a try last went there although it is put aside."""
        self.back_at = -inf
        """When it came back; how older tries end says nothing of it any more."""
        self.ejections = 0
        """In a row."""
        self.forgiven_at = -inf
        """Then that row ends, if it is not put aside again before."""

        self.here = False
        """Whether the registry's last view held it, in whatever health."""
        self.left_at = -inf
        """Since when it can't be used for the registry or our checks; infinity while it can."""
        self.new_at = -inf
        """When it appeared or came back."""
        self.slow_until = -inf
        """Until then it wants fewer calls."""

    @property
    def usable(self) -> bool:
        """For the registry and our own health checks: nothing about how its calls end."""
        return self.left_at == inf

    @property
    def serves_in_panic(self) -> bool:
        """Whether it may get calls then, whatever is held against it."""
        return self.here and self.instance.health is not Health.MAINTENANCE

    @property
    def suspected(self) -> bool:
        """Put aside by statistics, so it counts towards their limit."""
        return self.usable and self.reason not in (None, Reason.CONNECT_FAILURES)
