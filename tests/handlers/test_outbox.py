import pytest

from handlers import outbox as module
from handlers.model import HandlerId, Jti, Move, Uid
from handlers.outbox import MAX_PER_REPORT, Outbox


def outbox() -> Outbox:
    return Outbox(HandlerId("WSH1"), 7)


def test_news_is_repeated_until_it_is_acknowledged() -> None:
    box = outbox()
    box.admitted(Jti("a"))
    first = box.report(1)
    box.admitted(Jti("b"))
    box.left(Jti("a"))
    second = box.report(1)
    assert (first.epoch, first.seq, first.confirmed, first.closed) == (7, 1, ("a",), ())
    assert (second.seq, second.confirmed, second.closed) == (2, ("a", "b"), ("a",))
    box.acknowledged(second)
    third = box.report(1)
    assert (third.seq, third.confirmed, third.closed) == (3, (), ())


def test_an_acknowledgement_is_of_what_was_in_the_report() -> None:
    box = outbox()
    box.admitted(Jti("a"))
    told = box.report(1)
    box.admitted(Jti("b"))
    box.acknowledged(told)
    assert box.unconfirmed == ("b",)


def test_it_knows_whether_there_is_news() -> None:
    box = outbox()
    known = [box.changed]
    box.admitted(Jti("a"))
    known.append(box.changed)
    box.report(1)
    known.append(box.changed)
    assert known == [False, True, False]


def test_a_report_has_a_size_and_the_rest_follows() -> None:
    box = outbox()
    names = [Jti(str(number)) for number in range(MAX_PER_REPORT + 10)]
    for jti in names:
        box.admitted(jti)
    told = box.report(len(names))
    assert told.confirmed == tuple(names[:MAX_PER_REPORT])
    assert box.changed
    box.acknowledged(told)
    assert box.report(len(names)).confirmed == tuple(names[MAX_PER_REPORT:])
    assert not box.changed


def test_without_a_gateway_it_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    box = outbox()
    for jti in "abcde":
        box.admitted(Jti(jti))
    assert box.unconfirmed == ("c", "d", "e")
    assert repr(box) == "<Outbox: seq 0, 3 to confirm, 0 to close>"


def test_leaving_is_said_with_every_report() -> None:
    assert outbox().report(0, leaving=True).leaving


def test_clients_to_move_are_named_in_one_report() -> None:
    box, ann = outbox(), Move(Uid("ann"), "s1")
    assert box.report(1, move=(ann,)).move == (ann,)
    assert box.report(1).move == ()
