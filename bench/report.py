"""What a measurement is given and what it leaves: options, figures, and the machine they belong to."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Options:
    """`rounds` of each case; `seed` of everything that is drawn."""

    rounds: int = 100
    seed: int = 20260901


@dataclass(frozen=True, slots=True)
class Row:
    """One case. Times are milliseconds."""

    case: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """`goal_p99_ms` holds for every row; `notes` say how it was measured."""

    measurement: str
    goal_p99_ms: float
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    programs: dict[str, str] = field(default_factory=dict)
    """Versions of the servers that took part."""

    @property
    def reached(self) -> bool:
        return all(row.p99_ms <= self.goal_p99_ms for row in self.rows)


def row(case: str, seconds: Sequence[float]) -> Row:
    """Percentiles by nearest rank, so that each is a time that was really measured."""
    ordered = sorted(seconds)

    def rank_ms(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 2)

    return Row(case, len(ordered), rank_ms(0.5), rank_ms(0.99), rank_ms(1.0))


def machine() -> dict[str, str | int]:
    """What a reader needs to compare figures; nothing that names this machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0]),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def table(report: Report) -> str:
    """The report for a terminal."""
    width = max(len(row.case) for row in report.rows)
    lines = [f"{'':{width}}  {'count':>6}  {'p50 ms':>8}  {'p99 ms':>8}  {'max ms':>8}"]
    lines += [
        f"{r.case:{width}}  {r.count:6}  {r.p50_ms:8.2f}  {r.p99_ms:8.2f}  {r.max_ms:8.2f}"
        for r in report.rows
    ]
    verdict = "reached" if report.reached else "NOT reached"
    return "\n".join([report.measurement, *lines, f"goal p99 <= {report.goal_p99_ms:g} ms: {verdict}"])


def save(report: Report) -> Path:
    """Writes the report with the date and the machine to `bench/results/`."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    whole = {"taken_at": taken, "machine": machine(), **asdict(report), "reached": report.reached}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report.measurement}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n")
    return path
