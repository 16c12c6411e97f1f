"""Our policy in the storm of ALLOCATION 1: the real ledger."""

import pytest

from tests.handlers.fleet.storm import Storm
from tests.handlers.fleet.table import SEED, ours


@pytest.mark.parametrize("seed", [SEED, 1])
def test_ours_is_even_and_within_capacity(seed: int) -> None:
    seen = ours(Storm(), seed).outcome
    assert seen.spread <= 1
    assert seen.over_cap == 0
