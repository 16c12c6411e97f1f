"""Reports on disk come back as they were."""

import json
from pathlib import Path

import pytest

from bench import results
from bench.report import Goal, Report, Row

REPORT = Report(
    "get",
    "A small GET",
    (Row("Quaymaster", {"per_s": 2.0}), Row("Envoy", {"per_s": 1.0})),
    goals=(
        Goal("Quaymaster / Envoy", 2.0, "at least", 1.0),
        Goal("Quaymaster / Caddy", None, "at least", 1.4),
    ),
    notes=("in turns",),
    left_out=("Caddy: no caddy",),
    programs={"Envoy": "1.40.0"},
    ours=("Quaymaster",),
    compare="per_s",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    return tmp_path


def test_what_is_saved_is_loaded(folder: Path) -> None:
    file = results.save(REPORT)
    (found,) = results.load(["missing", "get"], folder)
    assert found.report == REPORT
    whole = json.loads(file.read_text())
    assert whole["ratios"] == {"Quaymaster": {"Envoy": 2.0}}
    assert whole["missed"] is False
    assert {"cpu", "cores", "system", "python"} <= set(found.machine)


def test_the_picture_is_drawn_of_what_was_kept(folder: Path) -> None:
    results.save(REPORT)
    drawn = results.draw(results.load(["get"], folder))
    assert "A small GET" in drawn.read_text()


def test_every_result_that_the_project_keeps_can_be_read() -> None:
    names = [file.stem for file in results.RESULTS.glob("*.json")]
    assert [one.report.measurement for one in results.load(names)] == names
