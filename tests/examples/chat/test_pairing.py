from hypothesis import given
from hypothesis import strategies as st

from examples.chat.pairing import Person, choose_partner, fits, wants
from examples.chat.profile import PREFERRED_SEXES, SEXES, Profile

ages = st.integers(18, 40)
profiles = st.builds(
    Profile,
    st.sampled_from(SEXES),
    ages,
    st.tuples(ages, ages).map(lambda pair: (min(pair), max(pair))),
    st.sampled_from(PREFERRED_SEXES),
)
people = st.builds(Person, st.text("abcdef", min_size=1, max_size=2), profiles)
crowds = st.lists(people, max_size=20, unique_by=lambda p: p.uid)

ANN = Person("ann", Profile("female", 25, (20, 30), "male"))
BOB = Person("bob", Profile("male", 30, (25, 35), "any"))
CARL = Person("carl", Profile("male", 31, (18, 120), "any"))


def test_both_must_want_each_other() -> None:
    assert fits(ANN, BOB)
    assert wants(CARL.profile, ANN.profile)
    assert not wants(ANN.profile, CARL.profile)
    assert not fits(CARL, ANN)


@given(people, people)
def test_fitting_is_symmetric_and_keeps_both_preferences(one: Person, other: Person) -> None:
    assert fits(one, other) == fits(other, one)
    if fits(one, other):
        for a, b in ((one.profile, other.profile), (other.profile, one.profile)):
            assert a.preferred_ages[0] <= b.age <= a.preferred_ages[1]
            assert a.preferred_sex in ("any", b.sex)


@given(people)
def test_nobody_fits_oneself(one: Person) -> None:
    assert not fits(one, one)
    assert choose_partner(one, [one]) is None


@given(people, crowds, st.sets(st.text("abcdef", min_size=1, max_size=2)))
def test_the_longest_waiting_that_fits_is_chosen(
    seeker: Person, crowd: list[Person], avoid: set[str]
) -> None:
    good = [p for p in crowd if fits(seeker, p) and p.uid not in avoid]
    assert choose_partner(seeker, crowd, avoid) == (good[0] if good else None)


@given(crowds)
def test_nobody_is_paired_twice_and_no_fitting_two_are_left_waiting(crowd: list[Person]) -> None:
    waiting: list[Person] = []
    paired: list[str] = []
    for person in crowd:
        partner = choose_partner(person, waiting)
        if partner is None:
            waiting.append(person)
        else:
            waiting.remove(partner)
            paired += [person.uid, partner.uid]
    assert len(paired) == len(set(paired))
    assert not any(fits(a, b) for a in waiting for b in waiting)
