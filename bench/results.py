"""Reports on disk: `bench/results/<measurement>.json`, each with its date and machine."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.report import Goal, Report, Row

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


def read(document: dict[str, Any]) -> Report:
    """The report of a saved document. Raises `KeyError` when it is none."""
    return Report(
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


def load(names: Iterable[str], folder: Path = RESULTS) -> list[tuple[Report, dict[str, Any]]]:
    """The saved reports, in that order, each with its whole document; missing ones are left out."""
    files = [folder / f"{name}.json" for name in names]
    documents = [json.loads(file.read_text()) for file in files if file.exists()]
    return [(read(document), document) for document in documents]
