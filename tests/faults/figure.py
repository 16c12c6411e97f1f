"""What a row has shown: figures that were read, and checks that held or did not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.ledger import CallLedger, Seen, executed_twice


@dataclass(slots=True)
class Figure:
    """`notes` are printed and judged by a reader; `checks` are counts, and a test asserts them."""

    row: str
    calls: int = 0
    failed: str = "0"
    longest_gap_s: float = 0.0
    slowest_s: float = 0.0
    twice: int = 0
    """POSTs that were executed more than once."""
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def check(self, what: str, holds: bool) -> None:
        (self.held if holds else self.missed).append(what)

    def line(self) -> str:
        text = f"{self.row}: {self.text()}"
        return f"{text} | MISSED: {'; '.join(self.missed)}" if self.missed else text

    def text(self) -> str:
        parts = list(self.notes)
        if self.calls:
            parts[:0] = [
                f"{self.calls} calls",
                f"failed {self.failed}",
                f"longest gap {ms(self.longest_gap_s)}",
                f"slowest {ms(self.slowest_s)}",
                f"POSTs executed twice {self.twice}",
            ]
        return ", ".join(parts)


def figure(row: str, ledger: CallLedger, seen: Sequence[Seen] = ()) -> Figure:
    """The figures that every row with a load has. That no POST is executed twice is checked in each."""
    failures = ledger.failures()
    twice = len(executed_twice(seen, "POST"))
    made = Figure(
        row,
        calls=len(ledger.calls),
        failed=" + ".join(f"{count} x {what}" for what, count in failures.most_common()) or "0",
        longest_gap_s=ledger.longest_gap_s(),
        slowest_s=ledger.slowest_s(),
        twice=twice,
    )
    made.check("no POST executed twice", twice == 0)
    return made


def ms(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
