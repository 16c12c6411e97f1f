from handlers.model import PoolSettings


def test_a_hold_outlives_its_guarantee_by_the_time_a_death_takes_to_be_noticed() -> None:
    """ALLOCATION 1.4: without that, a confirmation that is lost over-commits a handler."""
    assert PoolSettings(guaranteed_s=12, dead_after_s=3).hold_s == 15
    assert PoolSettings().hold_s >= PoolSettings().guaranteed_s + PoolSettings().dead_after_s
