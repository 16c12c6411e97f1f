"""What counts as lost, and what as doubled."""

import pytest

from bench.fleet.talker import Counts


@pytest.mark.parametrize(
    ("heard", "skipped", "doubled", "unanswered"),
    [
        ([1, 2, 3], 0, 0, 0),
        ([1, 2], 0, 0, 1),
        ([1, 3], 1, 0, 0),
        ([1, 2, 2, 3], 0, 1, 0),
        ([3, 1], 2, 1, 0),
    ],
)
def test_counts(heard: list[int], skipped: int, doubled: int, unanswered: int) -> None:
    counts = Counts(said=3)
    for seq in heard:
        counts.hear(seq)
    assert (counts.skipped, counts.doubled, counts.unanswered) == (skipped, doubled, unanswered)
