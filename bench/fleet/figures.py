"""What must be true of each act, and a short report of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """`bound` `None`: only to be known. A time is judged only where times can be."""

    text: str
    value: float
    bound: float | None = None
    kind: Literal["at most", "exactly"] = "at most"
    is_time: bool = False

    def met(self, *, timed: bool = True) -> bool:
        if self.bound is None or (self.is_time and not timed):
            return True
        return self.value == self.bound if self.kind == "exactly" else self.value <= self.bound

    def line(self, *, timed: bool = True) -> str:
        unit = " s" if self.is_time else ""
        shown = f"{self.value:,.1f}" if self.is_time else f"{self.value:,.0f}"
        wanted = "" if self.bound is None else f"  ({self.kind} {self.bound:,g}{unit})"
        verdict = "" if self.met(timed=timed) else "  MISSED"
        return f"  {self.text:<58}{shown:>9}{unit}{wanted}{verdict}"


@dataclass(slots=True)
class Act:
    title: str
    figures: list[Figure] = field(default_factory=list)

    def known(self, text: str, value: float, *, is_time: bool = False) -> None:
        self.figures.append(Figure(text, value, is_time=is_time))

    def at_most(self, text: str, value: float, bound: float, *, is_time: bool = False) -> None:
        self.figures.append(Figure(text, value, bound, "at most", is_time))

    def exactly(self, text: str, value: float, bound: float) -> None:
        self.figures.append(Figure(text, value, bound, "exactly"))

    def met(self, *, timed: bool = True) -> bool:
        return all(figure.met(timed=timed) for figure in self.figures)

    def text(self, *, timed: bool = True) -> str:
        return "\n".join([self.title, *(figure.line(timed=timed) for figure in self.figures)])


def verdict(acts: Sequence[Act], *, timed: bool = True) -> str:
    missed = [
        f"{act.title}: {figure.text}" for act in acts for figure in act.figures if not figure.met(timed=timed)
    ]
    return "\n".join(["MISSED:", *(f"  {line}" for line in missed)]) if missed else "Everything held."
