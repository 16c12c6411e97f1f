"""What a measurement is given and what it leaves: options, figures, goals, and how they were taken.

Rules of this file: plain values. How they look is in tables.py and chart.py, how they are kept in results.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

from bench.programs import ROOT


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how often. `seed` is for everything that is drawn."""

    rounds: int = 3
    """Turns of each contestant; the median counts."""
    seconds: float = 3.0
    """Of load in one turn."""
    quick: bool = False
    """Whether a look will do: fewer changes, smaller bodies of work."""
    peers: tuple[str, ...] | None = None
    """Which of the peers take part; `None`: all that are installed."""
    seed: int = 20260901
    tree: Path = ROOT
    """Where the gateway's source is."""


QUICK = Options(rounds=1, seconds=2.0, quick=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One case, and its figures by name; what the names mean is in `tables.COLUMNS`."""

    case: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Goal:
    """`value` must be at least, or at most, `bound`. `None`: what it compares with did not take part."""

    text: str
    value: float | None
    kind: Literal["at least", "at most"]
    bound: float

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement's figures. `notes` say how it was measured."""

    measurement: str
    title: str
    rows: tuple[Row, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """One line for each peer or case that could not be measured, with the reason."""
    programs: dict[str, str] = field(default_factory=dict)
    """Versions of the servers that took part."""
    ours: tuple[str, ...] = ()
    """The cases that are Quaymaster, which the others are compared with."""
    compare: str = ""
    """The figure they are compared by; more of it is better."""

    @property
    def missed(self) -> bool:
        """Whether any goal was missed; one that could not be measured was not."""
        return any(goal.met is False for goal in self.goals)

    def judged(self, *goals: Goal) -> "Report":
        """The same with these goals: most are ratios of its own rows."""
        return replace(self, goals=goals)

    def figure(self, case: str, name: str) -> float | None:
        """`None` when that case did not take part, or has no such figure."""
        return next((row.figures.get(name) for row in self.rows if row.case == case), None)

    @property
    def compared(self) -> tuple[str, ...]:
        """Our cases that took part, when there is any other to compare them with."""
        ours = tuple(case for case in self.ours if self.figure(case, self.compare) is not None)
        return ours if len(self.rows) > len(ours) else ()

    def ratio(self, ours: str, other: str) -> float | None:
        """How many times the other's figure ours is."""
        return ratio(self.figure(ours, self.compare), self.figure(other, self.compare))

    def ratios(self) -> dict[str, dict[str, float]]:
        """By case of ours, then by the other's."""
        found: dict[str, dict[str, float]] = {}
        for ours in self.ours:
            others = [row.case for row in self.rows if row.case not in self.ours]
            pairs = [(other, self.ratio(ours, other)) for other in others]
            found[ours] = {other: round(times, 3) for other, times in pairs if times is not None}
        return found


def ratio(ours: float | None, other: float | None) -> float | None:
    """`None` when one of them is missing, or there is nothing to divide by."""
    return ours / other if ours is not None and other else None


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank, so that it is a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def times_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Seconds as the figures of a row, in milliseconds."""
    shares = (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))
    return {"count": len(seconds)} | {
        name: round(percentile(seconds, share) * 1000, 3) for name, share in shares
    }


def medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each figure's median over the turns."""
    return {name: median(turn[name] for turn in turns) for name in turns[0]}
