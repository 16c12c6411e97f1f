"""Counters and histograms of one event loop: no locks, and one look-up a value.

prometheus_client's own are made for threads; their locks and label look-ups were a tenth of a request's
cost. What these hold is handed to prometheus_client when somebody scrapes.

Labels are bounded whatever is asked for: past a number of distinct ones, the rest is counted under `other`.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any

MAX_LABELS = 10_000
OTHER = "other"

Labels = tuple[str | int, ...]
"""The values of a family's labels, in its order."""


class Counters(dict[Labels, int]):
    """A count per labels."""

    def __init__(self, *, max_labels: int = MAX_LABELS) -> None:
        super().__init__()
        self._max_labels = max_labels

    def count(self, *labels: str | int) -> None:
        if labels not in self and len(self) >= self._max_labels:
            labels = _others(labels)
        self[labels] = self.get(labels, 0) + 1


class Histogram:
    """How many values fell into which bucket, and their sum.

    `bounds` are the upper edges of the buckets, ascending; a value on an edge belongs below it. The last
    bucket takes what is above all of them.
    """

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def cumulative(self) -> list[int]:
        """How many values were at most each bound, and at the end how many there were."""
        return list(accumulate(self.buckets))

    def add(self, other: "Histogram") -> None:
        """Takes in what another one of the same bounds has seen."""
        self.buckets = [ours + theirs for ours, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.sum += other.sum


class Histograms(dict[Labels, Histogram]):
    """A histogram per labels, made when it is first asked for."""

    def __init__(self, bounds: Sequence[float], *, max_labels: int = MAX_LABELS) -> None:
        super().__init__()
        self._bounds = bounds
        self._max_labels = max_labels

    def __missing__(self, labels: Labels) -> Histogram:
        if len(self) >= self._max_labels:
            labels = _others(labels)
        return self.setdefault(labels, Histogram(self._bounds))

    def by(self, *places: int, but: int | None = None) -> dict[Labels, Histogram]:
        """One for each combination of the labels at these places: the sum of those that share it.

        Those with the label `but` are left out.
        """
        sums: dict[Labels, Histogram] = {}
        for labels, histogram in self.items():
            if but is not None and but in labels:
                continue
            kept = tuple(labels[place] for place in places)
            sums.setdefault(kept, Histogram(self._bounds)).add(histogram)
        return sums


def keep(tallies: dict[Labels, Any], first_labels: Collection[str]) -> None:
    """Takes out all whose first label is none of these nor `OTHER`: what they name is there no longer."""
    for labels in [labels for labels in tallies if labels[0] not in first_labels and labels[0] != OTHER]:
        del tallies[labels]


def _others(labels: Labels) -> Labels:
    return (OTHER,) * len(labels)
