import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.advice import FIRST_MAX_S, FIRST_MIN_S, advise


@pytest.mark.parametrize(
    ("connections", "handlers", "first_s"),
    [
        (0, 1, 1.0),
        (1000, 1, 5.0),
        (1000, 2, 5.0),  # one is left to take them
        (1000, 3, 2.5),
        (1000, 20, 1.0),
        (100_000, 2, 60.0),
    ],
)
def test_the_window_is_as_long_as_the_others_need(connections: int, handlers: int, first_s: float) -> None:
    assert advise(connections, handlers).first_s == first_s


@given(st.integers(0, 10**7), st.integers(0, 10**4))
def test_the_window_is_never_shorter_than_useful_nor_longer_than_bearable(
    connections: int, handlers: int
) -> None:
    assert FIRST_MIN_S <= advise(connections, handlers).first_s <= FIRST_MAX_S


def test_what_a_client_reads() -> None:
    assert advise(1600, 2).body() == {
        "first_ms": [0, 8000],
        "base_ms": 1000,
        "cap_ms": 30000,
        "jitter": "full",
    }
