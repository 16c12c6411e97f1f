"""Whether something grows, and that a soak runs at all."""

from pathlib import Path

import pytest

from tests.faults.soak import SEED, growth, soak


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([50.0, *[100.0] * 7], 0.0),
        ([1.0, 2.0, 100.0, 100.0, 110.0, 110.0, 120.0, 120.0], 0.2),
        ([100.0], 0.0),
        ([100.0, 100.0, 100.0, 90.0], -0.1),
    ],
)
def test_growth_is_judged_after_the_first_quarter(values: list[float], grown: float) -> None:
    assert growth(values) == pytest.approx(grown)


async def test_a_short_soak_leaks_nothing_but_the_memory_that_a_start_takes(tmp_path: Path) -> None:
    shown = await soak(4, SEED, tmp_path)
    assert [what for what in shown.missed if not what.startswith("memory")] == [], shown.line()
