"""Tables for the terminal and for Markdown."""

from bench.report import Goal, Report, Row
from bench.tables import Saved, markdown_page, markdown_table, taken_on, text_table

REPORT = Report(
    "get",
    "A small GET",
    rows=(
        Row("Quaymaster", {"per_s": 24_100, "p50_ms": 1.2}),
        Row("Envoy", {"per_s": 20_000, "p50_ms": 1.3}),
        Row("no gateway", {"p50_ms": 0.2}),
    ),
    goals=(
        Goal("Quaymaster / Envoy", 1.205, "at least", 1.0),
        Goal("Quaymaster / Caddy", None, "at least", 1.4),
    ),
    notes=("in turns", "95 bytes"),
    left_out=("Caddy: no caddy",),
    programs={"Envoy": "1.40.0"},
    ours=("Quaymaster", "Quaymaster, features off"),
    compare="per_s",
)
MACHINE: dict[str, str | int] = {"cpu": "Some CPU", "cores": 2, "system": "Linux 6.1", "python": "3.11.7"}


def saved(report: Report, day: str = "2026-11-21") -> Saved:
    return Saved(report, f"{day}T10:00:00+00:00", MACHINE)


def test_a_terminal_s_table() -> None:
    assert text_table(REPORT).splitlines() == [
        "get: A small GET",
        "             per s  p50 ms  Quaymaster is",
        "Quaymaster  24,100    1.20               ",
        "Envoy       20,000    1.30         1.21 x",
        "no gateway            0.20               ",
        "  goal  Quaymaster / Envoy: 1.21 (at least 1): met",
        "  goal  Quaymaster / Caddy: - (at least 1.4): not measured",
        "  left out  Caddy: no caddy",
    ]


def test_a_missed_goal_catches_the_eye() -> None:
    assert "MISSED" in text_table(REPORT.judged(Goal("g", 0.5, "at least", 1.0)))


def test_markdown() -> None:
    lines = markdown_table(REPORT, said=["in turns"]).splitlines()
    assert lines[:6] == [
        "### A small GET",
        "",
        "|  | per s | p50 ms | Quaymaster is |",
        "| --- | ---: | ---: | ---: |",
        "| Quaymaster | 24,100 | 1.20 |  |",
        "| Envoy | 20,000 | 1.30 | 1.21 x |",
    ]
    assert "- goal: Quaymaster / Envoy: 1.21 (at least 1): met" in lines
    assert "- 95 bytes" in lines
    assert "- in turns" not in lines


def test_a_page_says_once_what_all_have_in_common() -> None:
    other = Report("up", "1 MiB up", (Row("Quaymaster", {"per_s": 1}),), notes=("in turns", "1 MiB"))
    page = markdown_page([saved(REPORT), saved(other)])
    assert page.count("in turns") == 1
    assert page.index("in turns") < page.index("### A small GET") < page.index("- 1 MiB")
    assert "With Envoy 1.40.0." in page


def test_the_days_are_a_span_when_there_are_several() -> None:
    assert taken_on([saved(REPORT)]) == "Some CPU, 2 cores, Linux 6.1, Python 3.11.7; 2026-11-21"
    assert taken_on([saved(REPORT, "2026-11-23"), saved(REPORT)]).endswith("; 2026-11-21 to 2026-11-23")
