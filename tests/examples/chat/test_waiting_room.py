import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.chat import users
from examples.chat.database import connect
from examples.chat.pairing import Person, fits
from examples.chat.profile import Profile
from examples.chat.users import User
from examples.chat.waiting_room import RoomSettings, Unknown, Waiting, ask, partner_of
from tests.examples.chat.clients import NOW

SETTINGS = RoomSettings(wait_s=15, match_s=1000, avoid_s=300)
WOMAN = Profile("female", 25, (20, 40), "male")
MAN = Profile("male", 30, (20, 40), "female")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "chat.db")
    for uid, profile in {"ann": WOMAN, "eva": WOMAN, "bob": MAN}.items():
        add(connection, uid, profile)
    yield connection
    connection.close()


def add(db: sqlite3.Connection, uid: str, profile: Profile) -> None:
    assert users.add(db, User(uid, f"{uid}@example.com", uid, "hash", 1, profile), NOW)


def asks(db: sqlite3.Connection, uid: str, now: float = NOW, again: bool = False) -> str | None:
    """The partner's uid, or `None` while waiting."""
    found = ask(db, uid, again=again, now=now, settings=SETTINGS)
    assert not isinstance(found, Unknown)
    return None if isinstance(found, Waiting) else found.uid


def test_the_second_gets_the_first_and_the_first_learns_it_on_asking_next(db: sqlite3.Connection) -> None:
    assert asks(db, "ann") is None
    assert asks(db, "bob") == "ann"
    assert asks(db, "ann") == "bob"
    assert partner_of(db, "ann") == "bob"
    assert partner_of(db, "bob") == "ann"


def test_who_waited_longest_is_taken_even_when_asking_again_meanwhile(db: sqlite3.Connection) -> None:
    asks(db, "eva", NOW)
    asks(db, "ann", NOW + 1)
    asks(db, "eva", NOW + 2)
    assert asks(db, "bob", NOW + 3) == "eva"


def test_a_third_person_waits_rather_than_breaking_a_pair(db: sqlite3.Connection) -> None:
    asks(db, "ann")
    asks(db, "bob")
    assert asks(db, "eva") is None
    assert asks(db, "bob") == "ann"


def test_who_stopped_asking_is_not_offered(db: sqlite3.Connection) -> None:
    asks(db, "ann", NOW)
    assert asks(db, "bob", NOW + 15) is None
    asks(db, "eva", NOW + 16)
    assert partner_of(db, "bob") == "eva"


def test_again_parts_both_and_brings_somebody_new(db: sqlite3.Connection) -> None:
    asks(db, "ann")
    asks(db, "bob")
    assert asks(db, "bob", again=True) is None
    assert partner_of(db, "ann") is None
    assert asks(db, "ann") is None
    assert asks(db, "eva") == "bob"


def test_two_who_parted_may_meet_again_when_some_time_has_passed(db: sqlite3.Connection) -> None:
    asks(db, "ann")
    asks(db, "bob")
    asks(db, "bob", again=True)
    assert asks(db, "ann", NOW + 299) is None
    asks(db, "ann", NOW + 300)
    assert asks(db, "bob", NOW + 301) == "ann"


def test_again_without_a_partner_is_just_asking(db: sqlite3.Connection) -> None:
    assert asks(db, "ann", again=True) is None
    assert asks(db, "bob", again=True) == "ann"


def test_an_old_match_is_forgotten_on_both_sides(db: sqlite3.Connection) -> None:
    asks(db, "ann")
    asks(db, "bob")
    assert asks(db, "ann", NOW + 1000) is None
    assert partner_of(db, "bob") is None


def test_a_stranger_gets_nobody(db: sqlite3.Connection) -> None:
    assert ask(db, "nobody", again=False, now=NOW, settings=SETTINGS) == Unknown()
    assert db.execute("SELECT count(*) FROM waiting").fetchone()[0] == 0


ages = st.integers(18, 24)
profiles = st.builds(
    Profile,
    st.sampled_from(["male", "female"]),
    ages,
    st.tuples(ages, ages).map(lambda pair: (min(pair), max(pair))),
    st.sampled_from(["male", "female", "any"]),
)


@given(
    st.lists(profiles, min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 20)), max_size=30),
)
def test_whatever_happens_pairs_are_symmetric_and_fit(
    everybody: list[Profile], steps: list[tuple[int, bool, int]]
) -> None:
    db = connect(Path(":memory:"))
    for number, profile in enumerate(everybody):
        add(db, str(number), profile)
    now = NOW
    for number, again, passes in steps:
        now += passes
        asks(db, str(number % len(everybody)), now, again)
        pairs = {row["uid"]: row["partner"] for row in db.execute("SELECT * FROM matches")}
        waiting = {row["uid"] for row in db.execute("SELECT uid FROM waiting")}
        for one, other in pairs.items():
            assert pairs[other] == one
            assert fits(Person(one, everybody[int(one)]), Person(other, everybody[int(other)]))
        assert not waiting & set(pairs)
    db.close()
