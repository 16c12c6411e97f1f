import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.preferences import _ITEM, MAX_HEADER, MAX_WAIT_S, wait_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0),
        (["wait=5"], 5),
        (["wait=0"], 0),
        (["wait=007"], 7),
        (["WAIT=5"], 5),
        (["wait = 5"], 5),
        (['wait="5"'], 5),
        (["wait=5; because=slow"], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5, wait=7"], 5),
        (["wait=5", "wait=7"], 5),
        (["wait=11"], MAX_WAIT_S),
        (["wait=999999999"], MAX_WAIT_S),
        (['note="a, wait=3", wait=5'], 5),
        (['note="a \\", wait=3", wait=5'], 5),
        (["wait=5".ljust(MAX_HEADER)], 5),
        (['wait=5, note="never closed'], 5),
        (['wait=5, note="never closed\\'], 5),
        (['note="never closed, wait=3', "wait=5"], 5),
    ],
)
def test_a_wish_to_wait(headers: list[str], seconds: int) -> None:
    assert wait_s(headers) == seconds


@pytest.mark.parametrize(
    "header",
    [
        *("", "wait", "wait=", "wait=-1", "wait=+5", "wait=5s", "wait=5.5", "wait=1e3", "wait=1 2"),
        *("waiting=5", "x-wait=5", "wait=\u0665", 'wait="5', "wait='5'", "wait=9999999999", "note=wait=5"),
    ],
)
def test_what_is_no_such_wish(header: str) -> None:
    assert wait_s([header]) == 0


def test_a_header_that_is_too_long_is_no_wish_and_the_next_one_counts() -> None:
    assert wait_s(["wait=3".ljust(MAX_HEADER + 1), "wait=5"]) == 5


@pytest.mark.parametrize("end", ["", '"', "\\", "\n", ","])
def test_no_quotes_take_the_square_of_their_length(end: str) -> None:
    hostile = '"' + '\\"' * 200_000 + end
    assert "".join(_ITEM.findall(hostile)) == hostile  # The square of this would take half an hour.


@given(st.lists(st.text()))
def test_no_header_makes_anybody_wait_for_longer_or_raises(headers: list[str]) -> None:
    assert 0 <= wait_s(headers) <= MAX_WAIT_S
