"""Reports as text: for a terminal, and as Markdown for the docs. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, Report


@dataclass(frozen=True, slots=True)
class Column:
    heading: str
    digits: int = 0


COLUMNS = {
    "count": Column("count"),
    "per_s": Column("per s"),
    "per_core": Column("per s a core"),
    "mb_per_s": Column("MB/s", 1),
    "cpu_us": Column("µs CPU each", 1),
    "store_us": Column("µs Redis each", 1),
    "p50_ms": Column("p50 ms", 2),
    "p99_ms": Column("p99 ms", 2),
    "max_ms": Column("max ms", 2),
    "added_p50_ms": Column("added p50", 2),
    "added_p99_ms": Column("added p99", 2),
    "pick_us_10": Column("N = 10", 2),
    "pick_us_100": Column("N = 100", 2),
    "pick_us_1000": Column("N = 1,000", 2),
    "pick_us_10000": Column("N = 10,000", 2),
    "success": Column("success %", 2),
    "simulated": Column("simulated %", 2),
    "kib_each": Column("KiB each", 1),
    "grown_mib": Column("grown by MiB", 1),
    "rss_mb": Column("RSS MB", 1),
    "spread": Column("max-min"),
    "over_cap": Column("past the cap"),
}
"""Every figure that a row may have. A new figure needs its line here."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A report as it was kept."""

    report: Report
    taken_at: str
    """UTC, ISO 8601."""
    machine: dict[str, str | int]


VERDICTS = {True: "met", False: "MISSED", None: "not measured"}


def text_table(report: Report) -> str:
    """The report for a terminal, with its goals and what was left out."""
    headings, rows = cells(report)
    widths = [max(len(line[at]) for line in (headings, *rows)) for at in range(len(headings))]
    lines = [_aligned(line, widths) for line in (headings, *rows)]
    lines += [f"  goal  {goal_line(goal)}" for goal in report.goals]
    lines += [f"  left out  {line}" for line in report.left_out]
    return "\n".join([f"{report.measurement}: {report.title}", *lines])


def markdown_table(report: Report, said: Sequence[str] = ()) -> str:
    """The report as a Markdown section, without the notes that were said before."""
    headings, rows = cells(report)
    lines = [f"### {report.title}", "", _row(headings), _row(["---", *("---:" for _ in headings[1:])])]
    lines += [_row(row) for row in rows]
    items = [f"goal: {goal_line(goal)}" for goal in report.goals]
    items += [f"left out: {line}" for line in report.left_out]
    items += [note for note in report.notes if note not in said]
    if items:
        lines += ["", *(f"- {item}" for item in items)]
    return "\n".join(lines) + "\n"


def markdown_page(saved: Sequence[Saved]) -> str:
    """All of them, and before them where and when they were taken and with which programs."""
    programs = {name: version for one in saved for name, version in one.report.programs.items()}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(programs.items()))
    times = Counter(note for one in saved for note in one.report.notes)
    common = [note for note, count in times.items() if count > 1]
    lines = [f"Taken on {taken_on(saved)}.", *([f"With {versions}."] if versions else [])]
    if common:
        lines += ["", *(f"- {note}" for note in common)]
    for one in saved:
        lines += ["", markdown_table(one.report, said=common).rstrip()]
    return "\n".join(lines)


def taken_on(saved: Sequence[Saved]) -> str:
    """The machine and the days, in one line."""
    machines = dict.fromkeys(
        f"{m['cpu']}, {m['cores']} cores, {m['system']}, Python {m['python']}"
        for m in (one.machine for one in saved)
    )
    days = sorted({one.taken_at[:10] for one in saved})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{'; '.join(machines)}; {span}"


def cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """The headings, and each row's cells: its case, its figures, and how many times it each of ours is."""
    taken = {name for row in report.rows for name in row.figures}
    names = sorted(taken, key=list(COLUMNS).index)
    compared = report.compared
    headings = ["", *(COLUMNS[name].heading for name in names), *(f"{case} is" for case in compared)]
    rows = []
    for row in report.rows:
        figures = [_figure(name, row.figures.get(name)) for name in names]
        times = [] if row.case in report.ours else [report.ratio(case, row.case) for case in compared]
        ratios = ["" if n is None else f"{n:.2f} x" for n in times] or [""] * len(compared)
        rows.append([row.case, *figures, *ratios])
    return headings, rows


def goal_line(goal: Goal) -> str:
    """Such as `Quaymaster / Envoy: 1.12 (at least 1): met`."""
    value = "-" if goal.value is None else f"{goal.value:,.2f}"
    return f"{goal.text}: {value} ({goal.kind} {goal.bound:,g}): {VERDICTS[goal.met]}"


def _figure(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:,.{COLUMNS[name].digits}f}"


def _aligned(line: list[str], widths: list[int]) -> str:
    """The first cell is a name and begins its line; the others are numbers and end their column."""
    first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    return "  ".join([line[0].ljust(len(first)), *others])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
