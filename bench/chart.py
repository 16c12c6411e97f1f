"""Reports as one picture: a panel of bars for each report that compares. SVG, written by hand. Pure."""

from collections.abc import Sequence
from html import escape

from bench.report import Report, Row
from bench.tables import COLUMNS

WIDTH = 880
MARGIN = 24
LABELS = 250
"""Where the bars begin; the names end before."""
LONGEST = 400
"""Of a bar; behind it stand its value and its ratio."""
ROW = 24
BAR = 16
PANEL_HEAD = 56
PANEL_GAP = 20
FOOT = 44
OURS, PEER, TEXT, QUIET = "#0b6e99", "#b8c4cc", "#1f2933", "#616e7c"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def picture(reports: Sequence[Report], foot: str) -> str:
    """The SVG document. `foot` is one line: the machine and the date."""
    shown = [report for report in reports if report.compare and report.rows]
    parts: list[str] = []
    top = MARGIN
    for report in shown:
        parts += _panel(report, top)
        top += PANEL_HEAD + ROW * len(report.rows) + PANEL_GAP
    height = top + FOOT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="{FONT}" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            _text(MARGIN, height - MARGIN, foot, fill=QUIET, size=12),
            "</svg>\n",
        ]
    )


def _panel(report: Report, top: int) -> list[str]:
    said = COLUMNS[report.compare].heading
    ratio_case = report.compared[0] if report.compared else None
    if ratio_case is not None:
        said += f"; in grey, how many times each one's figure {ratio_case}'s is"
    rows = sorted(report.rows, key=lambda row: -row.figures[report.compare])
    most = rows[0].figures[report.compare] or 1.0
    lines = [
        _text(MARGIN, top + 16, report.title, weight="bold", size=16),
        _text(MARGIN, top + 36, said, fill=QUIET, size=12),
    ]
    for number, row in enumerate(rows):
        times = None if ratio_case is None or row.case in report.ours else report.ratio(ratio_case, row.case)
        lines += _bar(report, row, top + PANEL_HEAD + ROW * number, most, times)
    return lines


def _bar(report: Report, row: Row, top: int, most: float, times: float | None) -> list[str]:
    value = row.figures[report.compare]
    ours = row.case in report.ours
    length = max(1.0, value / most * LONGEST)
    middle = top + BAR - 4
    end = LABELS + length + 8
    shown = f"{value:,.{COLUMNS[report.compare].digits}f}"
    weight = "bold" if ours else "normal"
    lines = [
        _text(LABELS - 10, middle, row.case, anchor="end", weight=weight),
        f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" '
        f'fill="{OURS if ours else PEER}"/>',
        _text(end, middle, shown, weight=weight),
    ]
    if times is not None:
        # Digits are about 8 wide in this size: the ratio stands clear of the value.
        lines.append(_text(end + 8 * len(shown) + 12, middle, f"{times:.2f} x", fill=QUIET))
    return lines


def _text(
    x: float,
    y: float,
    text: str,
    *,
    fill: str = TEXT,
    size: int = 13,
    anchor: str = "start",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
