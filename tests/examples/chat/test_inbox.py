import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.chat import inbox
from examples.chat.frames import Letter, Missed
from examples.chat.waiting_room import RoomSettings
from tests.examples.chat.clients import NOW
from tests.examples.chat.people import match, open_town


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = open_town(tmp_path / "chat.db")
    yield db
    db.close()


def write(db: sqlite3.Connection, text: str, sender: str = "ann", to: str = "bob") -> int | None:
    return inbox.keep(db, sender, to, f"id of {text}", text, NOW)


def test_letters_are_numbered_for_their_recipient_without_a_gap(db: sqlite3.Connection) -> None:
    assert [write(db, text) for text in ("one", "two")] == [1, 2]
    assert write(db, "back", "bob", "ann") == 1
    assert inbox.after(db, "bob", 0) == Missed(
        (Letter(1, "ann", "id of one", "one"), Letter(2, "ann", "id of two", "two")), 2
    )
    assert inbox.after(db, "bob", 1).letters[0].text == "two"
    assert inbox.after(db, "bob", 2) == Missed((), 2)


def test_one_that_is_sent_again_keeps_its_number(db: sqlite3.Connection) -> None:
    assert [write(db, "one"), write(db, "two"), write(db, "one")] == [1, 2, 1]
    assert len(inbox.after(db, "bob", 0).letters) == 2


@pytest.mark.parametrize(
    ("sender", "to"), [("ann", "tom"), ("eva", "bob"), ("bob", "bob"), ("nobody", "ann")]
)
def test_nobody_writes_to_a_stranger(db: sqlite3.Connection, sender: str, to: str) -> None:
    assert write(db, "hi", sender, to) is None
    assert inbox.after(db, to, 0) == Missed((), 0)


def test_a_long_row_comes_in_pages(db: sqlite3.Connection) -> None:
    for number in range(5):
        write(db, str(number))
    first = inbox.after(db, "bob", 0, most=2)
    assert ([letter.seq for letter in first.letters], first.last, first.more) == ([1, 2], 2, True)
    last = inbox.after(db, "bob", 4, most=2)
    assert ([letter.seq for letter in last.letters], last.last, last.more) == ([5], 5, False)


def test_only_so_many_are_kept_and_the_numbers_go_on(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_KEPT", 3)
    for number in range(10):
        write(db, str(number))
    assert [letter.seq for letter in inbox.after(db, "bob", 0).letters] == [8, 9, 10]


def test_those_who_part_leave_nothing_to_read_and_the_numbers_go_on(db: sqlite3.Connection) -> None:
    write(db, "one")
    match(db, "ann", again=True)
    assert inbox.after(db, "bob", 0) == Missed((), 1)
    match(db, "eva", "bob")
    assert write(db, "hi", "eva", "bob") == 2


def test_letters_are_forgotten_with_their_match(db: sqlite3.Connection) -> None:
    write(db, "one")
    match(db, "eva", now=NOW + RoomSettings().match_s)
    assert inbox.after(db, "bob", 0) == Missed((), 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_whoever_asks_after_its_last_number_gets_each_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool]]
) -> None:
    """A step sends a text (again), and perhaps the recipient comes back then."""
    db = open_town(tmp_path_factory.mktemp("inbox") / "chat.db")
    try:
        seq, got, sent = 0, [], []
        for text, comes_back in [*steps, ("end", True)]:
            write(db, text)
            sent += [text] if text not in sent else []
            if comes_back:
                found = inbox.after(db, "bob", seq)
                got += [letter.text for letter in found.letters]
                seq = found.last
        assert got == sent
    finally:
        db.close()
