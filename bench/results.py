"""Reports on disk: `bench/results/<measurement>.json`, each with its date and machine."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chart import picture
from bench.machine import machine
from bench.report import Goal, Report, Row
from bench.tables import Saved, taken_on

RESULTS = Path(__file__).parent / "results"


def save(report: Report) -> Path:
    """Writes the report with the date and the machine. Returns the file."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    whole = {
        "taken_at": taken,
        "machine": machine(),
        **asdict(report),
        "ratios": report.ratios(),
        "missed": report.missed,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report.measurement}.json"
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return path


def read(document: dict[str, Any]) -> Saved:
    """A saved document. Raises `KeyError` when it is none."""
    report = Report(
        measurement=document["measurement"],
        title=document["title"],
        rows=tuple(Row(**row) for row in document["rows"]),
        goals=tuple(Goal(**goal) for goal in document["goals"]),
        notes=tuple(document["notes"]),
        left_out=tuple(document["left_out"]),
        programs=document["programs"],
        ours=tuple(document["ours"]),
        compare=document["compare"],
    )
    return Saved(report, document["taken_at"], document["machine"])


def draw(saved: Sequence[Saved]) -> Path:
    """Writes the picture of these reports. Returns the file."""
    path = RESULTS / "bench.svg"
    path.write_text(picture([one.report for one in saved], taken_on(saved)))
    return path


def load(names: Iterable[str], folder: Path = RESULTS) -> list[Saved]:
    """The saved reports, in that order; missing ones are left out."""
    files = [folder / f"{name}.json" for name in names]
    return [read(json.loads(file.read_text())) for file in files if file.exists()]
