"""The picture of the reports."""

from xml.etree import ElementTree

from bench.chart import LONGEST, picture
from bench.report import Report, Row

SVG = "{http://www.w3.org/2000/svg}"


def report(**per_s: float) -> Report:
    rows = tuple(Row(case, {"per_s": value}) for case, value in per_s.items())
    return Report("get", "A <small> GET & more", rows, ours=("ours",), compare="per_s")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> list[float]:
    _background, *rest = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return [float(bar.attrib["width"]) for bar in rest]


def test_bars_are_as_long_as_their_figures_the_longest_first() -> None:
    assert bars(picture([report(ours=50, envoy=100, slow=25)], "foot")) == [LONGEST, LONGEST / 2, LONGEST / 4]


def test_names_figures_ratios_and_the_foot_are_written() -> None:
    said = texts(picture([report(ours=23_456, envoy=11_728)], "a machine; a day"))
    assert {"A <small> GET & more", "ours", "23,456", "envoy", "11,728", "2.00 x", "a machine; a day"} <= set(
        said
    )


def test_ours_alone_has_no_ratio() -> None:
    assert not any(text.endswith(" x") for text in texts(picture([report(ours=1)], "foot")))


def test_nothing_measured_is_a_bar_all_the_same() -> None:
    assert bars(picture([report(ours=0)], "foot")) == [1.0]


def test_reports_that_compare_nothing_are_left_out() -> None:
    alone = Report("start", "Start", (Row("ours", {"p50_ms": 1.0}),))
    assert bars(picture([alone, report(ours=1)], "foot")) == bars(picture([report(ours=1)], "foot"))
