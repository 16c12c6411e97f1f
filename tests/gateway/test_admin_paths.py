import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin_paths import PREFIX, OneDecision, OneDrain, OneHandler, read_admin_path


@pytest.mark.parametrize(
    ("rest", "meant"),
    [
        ("WSH1", OneHandler("WSH1")),
        ("WSH1/drain", OneDrain("WSH1")),
        ("host:8001/drain", OneDrain("host:8001")),
        ("a%20b", OneHandler("a b")),
        ("drain", OneHandler("drain")),
        ("decisions", OneHandler("decisions")),
        ("decisions/drain", OneDrain("decisions")),
        ("decisions/7", OneDecision(7)),
        ("decisions/007", OneDecision(7)),
        ("decisions/x", None),
        ("decisions/-1", None),
        ("decisions/" + "9" * 16, None),
        ("", None),
        ("WSH1/", None),
        ("WSH1/drain/", None),
        ("WSH1/undrain", None),
        ("WSH1/drain/more", None),
    ],
)
def test_what_a_path_is_about(rest: str, meant: object) -> None:
    assert read_admin_path(PREFIX + rest) == meant


@given(st.text())
def test_any_path_is_something_or_nothing(rest: str) -> None:
    read_admin_path(PREFIX + rest)
