from hypothesis import given
from hypothesis import strategies as st

from balancer.candidates import NOBODY, Candidates, Derived, candidates
from registry.model import Instance, InstanceId, ServiceName


def instance(n: int, weight: int = 1) -> Instance:
    return Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1", weight=weight)


@given(weights=st.lists(st.integers(1, 9), max_size=6))
def test_what_is_derived_fits_the_weights(weights: list[int]) -> None:
    made = candidates([instance(n, weight) for n, weight in enumerate(weights)])
    assert made.weights == tuple(weights)
    assert made.total == sum(weights)
    assert made.even == (len(set(weights)) < 2)
    assert len(made) == len(weights)


def test_weights_of_the_moment_come_before_the_registrys() -> None:
    made = candidates([instance(1, 5), instance(2, 5)], [0.5, 5.0])
    assert (made.weights, made.even) == ((0.5, 5.0), False)


def test_equal_ones_are_not_the_same() -> None:
    """Strategies keep what they derive under the identity, so nothing else may count."""
    assert candidates([instance(1)]) != candidates([instance(1)])
    assert NOBODY.even


def test_what_is_derived_is_made_once_for_the_two_asked_about_last() -> None:
    made: list[Candidates] = []

    def make(among: Candidates) -> int:
        made.append(among)
        return len(among)

    derived = Derived(make)
    everybody, local, later = candidates(()), candidates(()), candidates(())
    for _ in range(3):
        assert derived.of(everybody) == derived.of(local) == 0
    assert made == [everybody, local]
    derived.of(later)
    derived.of(local)
    assert made == [everybody, local, later]
    derived.of(everybody)
    assert made == [everybody, local, later, everybody]
    derived.forget()
    derived.of(everybody)
    assert made[4:] == [everybody]


def test_who_makes_it_sees_what_was_asked_about_before() -> None:
    before: list[Candidates | None] = []
    derived = Derived(lambda among: before.append(derived.last))
    first, second = candidates(()), candidates(())
    derived.of(first)
    derived.of(second)
    assert before == [None, first]
