import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.advice import FIRST_MAX_S, FIRST_MIN_S, advise


@pytest.mark.parametrize(
    ("connections", "accepts_per_s", "first_s"),
    [(0, 200.0, 1.0), (1000, 200.0, 5.0), (1000, 20.0, 50.0), (1000, 3800.0, 1.0), (100_000, 200.0, 60.0)],
)
def test_the_window_is_as_long_as_the_others_need(
    connections: int, accepts_per_s: float, first_s: float
) -> None:
    assert advise(connections, accepts_per_s).first_s == first_s


@given(st.integers(0, 10**7), st.floats(1e-3, 1e7))
def test_the_window_is_never_shorter_than_useful_nor_longer_than_bearable(
    connections: int, accepts_per_s: float
) -> None:
    assert FIRST_MIN_S <= advise(connections, accepts_per_s).first_s <= FIRST_MAX_S


def test_what_a_client_reads() -> None:
    advice = advise(1600, 200.0)
    assert advice.body() == {
        "first_ms": [0, 8000],
        "base_ms": 1000,
        "cap_ms": 30000,
        "jitter": "full",
    }
    assert json.loads(advice.json) == advice.body()
