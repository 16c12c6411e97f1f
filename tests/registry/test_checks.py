from hypothesis import given
from hypothesis import strategies as st

from registry.checks import MAX_WEIGHT, CheckFacts, health_of, weigh
from registry.model import Health

PASSING = CheckFacts("service:a", "passing")
WARNING = CheckFacts("service:b", "warning")
CRITICAL = CheckFacts("service:c", "critical")


def test_no_check_is_passing_as_in_consul() -> None:
    assert health_of([]) is Health.PASSING


def test_the_worst_check_decides() -> None:
    assert health_of([PASSING, PASSING]) is Health.PASSING
    assert health_of([PASSING, WARNING, PASSING]) is Health.WARNING
    assert health_of([WARNING, CRITICAL, PASSING]) is Health.CRITICAL


def test_maintenance_of_the_service_or_of_its_node_beats_everything() -> None:
    for check in ("_service_maintenance:a-1", "_node_maintenance"):
        assert health_of([CRITICAL, CheckFacts(check, "critical"), PASSING]) is Health.MAINTENANCE


def test_a_state_nobody_knows_is_critical() -> None:
    assert health_of([PASSING, CheckFacts("x", "splendid")]) is Health.CRITICAL


def test_a_warning_serves_with_its_own_weight() -> None:
    assert weigh(Health.PASSING, 10, 2) == (Health.PASSING, 10)
    assert weigh(Health.WARNING, 10, 2) == (Health.WARNING, 2)


def test_a_warning_weight_of_zero_means_no_calls_while_warning() -> None:
    assert weigh(Health.WARNING, 10, 0) == (Health.CRITICAL, 1)
    assert weigh(Health.PASSING, 10, 0) == (Health.PASSING, 10)


@given(
    st.sampled_from(Health),
    st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans(), st.lists(st.integers())),
)
def test_an_absurd_weight_never_becomes_an_absurd_share(health: Health, weight: object) -> None:
    _, used = weigh(health, weight, weight)
    assert 1 <= used <= MAX_WEIGHT
    assert type(used) is int
