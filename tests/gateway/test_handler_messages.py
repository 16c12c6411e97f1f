"""What handler processes may send."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.handler_messages import (
    MAX_MOVES,
    MAX_NAME,
    MAX_NAMED,
    MAX_TICKETS,
    AdmitMessage,
    DrainMessage,
    HelloMessage,
    ReportMessage,
    client_id_problem,
    handler_names,
    session_id_problem,
)
from handlers.model import DrainOrder, HandlerId, Hello, Jti, Move, Report, Uid

HELLO = {"handler_id": "WSH1", "epoch": 7, "url": "http://localhost:8001", "capacity": 10}
SESSION = "0123456789abcdef" * 2
MOVE = {"uid": "ada", "session_id": SESSION}
REPORT = {"handler_id": "WSH1", "epoch": 7, "seq": 1, "connections": 3}


def test_a_hello_needs_four_fields_and_fills_in_the_others() -> None:
    hello = HelloMessage.model_validate(HELLO).hello()
    assert hello == Hello(HandlerId("WSH1"), 7, "http://localhost:8001", "/ws", 10)


def test_a_hello_carries_everything_it_says() -> None:
    more = {"path": "/chat", "weight": 2, "connections": 4, "known": ["j1", "j2"]}
    hello = HelloMessage.model_validate_json(_json(HELLO | more)).hello()
    assert (hello.path, hello.weight, hello.connections) == ("/chat", 2, 4)
    assert hello.known == (Jti("j1"), Jti("j2"))


def test_a_report_carries_everything_it_says() -> None:
    more = {"confirmed": ["j1"], "closed": ["j2", "j3"], "leaving": True, "move": [MOVE]}
    assert ReportMessage.model_validate_json(_json(REPORT | more)).report() == Report(
        HandlerId("WSH1"),
        7,
        1,
        3,
        (Jti("j1"),),
        (Jti("j2"), Jti("j3")),
        leaving=True,
        move=(Move(Uid("ada"), SESSION),),
    )


@pytest.mark.parametrize("model", [HelloMessage, ReportMessage])
def test_a_handler_may_name_its_pool(model: type[HelloMessage | ReportMessage]) -> None:
    message = HELLO | REPORT
    assert model.model_validate_json(_json(message)).pool is None
    assert model.model_validate_json(_json(message | {"pool": "chat"})).pool == "chat"
    with pytest.raises(ValidationError):
        model.model_validate_json(_json(message | {"pool": "x" * 129}))


@pytest.mark.parametrize(
    "bad",
    [
        *("ada", 1, None, [], {}, {"uid": "ada"}, {"session_id": SESSION}),
        *(MOVE | {"uid": ""}, MOVE | {"uid": "x" * 256}, MOVE | {"uid": 1}, MOVE | {"session_id": "0" * 31}),
        *(MOVE | {"session_id": "A" * 32}, MOVE | {"session_id": "0" * 32 + "\n"}),
    ],
)
def test_a_move_that_is_wrong_costs_nobody_else_theirs(bad: Any) -> None:
    """Nor the handler its report: without reports it would count as dead."""
    message = ReportMessage.model_validate_json(_json(REPORT | {"move": [bad, MOVE, bad]}))
    assert message.report().move == (Move(Uid("ada"), SESSION),)
    assert message.unread_moves == 2


def test_of_too_many_moves_the_first_are_taken() -> None:
    moves = [MOVE | {"uid": f"user-{number}"} for number in range(MAX_MOVES + 1)]
    message = ReportMessage.model_validate_json(_json(REPORT | {"move": moves}))
    assert [move.uid for move in message.report().move] == [move["uid"] for move in moves[:MAX_MOVES]]
    assert message.unread_moves == 0


@pytest.mark.parametrize("move", [MOVE, "ada", None, 1])
def test_moves_that_are_no_list_are_refused(move: Any) -> None:
    with pytest.raises(ValidationError):
        ReportMessage.model_validate_json(_json(REPORT | {"move": move}))


def test_a_drain_has_a_deadline() -> None:
    assert DrainMessage.model_validate_json('{"deadline_s": 30}').order() == DrainOrder(30.0)
    assert DrainMessage.model_validate_json('{"deadline_s": 0.5, "rate": 40}').order() == DrainOrder(
        0.5, 40.0
    )


@pytest.mark.parametrize(
    "body",
    [
        *("{}", '{"rate": 5}', '{"deadline_s": 0}', '{"deadline_s": 86401}', '{"deadline_s": "30"}'),
        *('{"deadline_s": 30, "rate": 0}', '{"deadline_s": 30, "rate": -1}', '{"deadline_s": null}'),
    ],
)
def test_a_drain_that_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        DrainMessage.model_validate_json(body)


@pytest.mark.parametrize("good", [SESSION, "0" * 32])
def test_a_session_of_ours(good: str) -> None:
    assert session_id_problem(good) is None


@pytest.mark.parametrize("bad", ["", "0" * 31, "0" * 33, "A" * 32, "0" * 32 + "\n", "g" * 32])
def test_a_session_of_nobodys(bad: str) -> None:
    assert "X-Session-Id" in (session_id_problem(bad) or "")


def test_what_a_newer_sdk_adds_is_ignored() -> None:
    assert ReportMessage.model_validate(REPORT | {"cpu": 0.3}).report().connections == 3


@pytest.mark.parametrize(
    "change",
    [
        {"handler_id": ""},
        {"handler_id": "-WSH"},
        {"handler_id": "W" * 129},
        {"handler_id": "WSH 1"},
        {"handler_id": "WSH\n1"},
        {"handler_id": 1},
        {"epoch": 0},
        {"epoch": 2**53 + 1},
        {"epoch": "7"},
        {"epoch": 7.5},
        {"epoch": True},
        {"capacity": 0},
        {"capacity": 10**6 + 1},
        {"capacity": None},
        {"url": "http://localhost/" + "x" * 2048},
        {"path": "/" + "x" * 1024},
        {"weight": 0},
        {"connections": -1},
        {"known": "j1"},
        {"known": ["j 1"]},
        {"known": [""]},
        {"known": ["j" * 65]},
        {"known": ["j"] * (MAX_TICKETS + 1)},
    ],
)
def test_a_hello_with_a_field_out_of_bounds_is_refused_by_that_field(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        HelloMessage.model_validate_json(_json(HELLO | change))
    assert {error["loc"][0] for error in raised.value.errors()} == set(change)


@pytest.mark.parametrize("field", HELLO)
def test_a_hello_without_a_needed_field_is_refused(field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        HelloMessage.model_validate({key: value for key, value in HELLO.items() if key != field})
    assert [error["type"] for error in raised.value.errors()] == ["missing"]


@pytest.mark.parametrize(
    "change", [{"seq": -1}, {"seq": "1"}, {"connections": 10**7 + 1}, {"leaving": "yes"}]
)
def test_a_report_with_a_field_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReportMessage.model_validate_json(_json(REPORT | change))


def test_an_admission_names_one_ticket_of_one_incarnation() -> None:
    message = AdmitMessage.model_validate({"handler_id": "WSH1", "epoch": 7, "jti": "j1"})
    assert (message.handler_id, message.epoch, message.jti) == ("WSH1", 7, "j1")
    with pytest.raises(ValidationError):
        AdmitMessage.model_validate({"handler_id": "WSH1", "epoch": 7, "jti": ""})


@pytest.mark.parametrize("good", ["a", "~" * 128, "tab-1/2!"])
def test_a_client_id_is_visible_ascii(good: str) -> None:
    assert client_id_problem(good) is None


@pytest.mark.parametrize("bad", ["", "a b", "a" * 129, "é", "a\n", "\x00"])
def test_anything_else_is_no_client_id(bad: str) -> None:
    problem = client_id_problem(bad)
    assert problem is not None
    assert problem.startswith("X-Client-Id")


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([], ()),
        (["WSH1"], ("WSH1",)),
        ([" WSH1 ,\tWSH2", "WSH3"], ("WSH1", "WSH2", "WSH3")),
        (["ws:1@host, обработчик"], ("ws:1@host", "обработчик")),
        (["", ",,", "\udcff, a\x00b, WSH1"], ("WSH1",)),
        (["a," * (MAX_NAMED + 1)], ("a",) * MAX_NAMED),
        (["x" * MAX_NAME, "x" * (MAX_NAME + 1)], ("x" * MAX_NAME,)),
    ],
)
def test_handlers_that_a_client_names(headers: list[str], names: tuple[str, ...]) -> None:
    assert handler_names(headers) == names


@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from(",,, "), max_size=300), max_size=40))
def test_names_can_be_shown_and_are_bounded(headers: list[str]) -> None:
    names = handler_names(headers)
    assert len(names) <= MAX_NAMED
    assert all(0 < len(name) <= MAX_NAME and name.encode() for name in names)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
