import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.client import (
    FORGIVE_S,
    MAX_EXCLUDED,
    STEADY_S,
    AfterClose,
    Answer,
    ClientLedger,
    Connect,
    Renew,
    Stop,
    Wait,
    after_close,
)
from handlers.client_messages import Destination

NOW, UNIX = 1000.0, 1_800_000_000.0
SESSION = "0123456789abcdef0123456789abcdef"
RECONNECT = {"first_ms": [2000, 8000], "base_ms": 1000, "cap_ms": 30_000}
GRANT = {
    "handler_id": "WSH1",
    "websocket_handler_url": "http://h1:8001",
    "websocket_url": "ws://h1:8001/ws",
    "ticket": "t",
    "session_id": SESSION,
    "reconnect": RECONNECT,
}
HERE = Destination("WSH1", "ws://h1:8001/ws", "t", SESSION)


@pytest.fixture
def ledger(rng: random.Random) -> ClientLedger:
    return ClientLedger(rng)


def granted(ledger: ClientLedger, **changes: Any) -> Destination:
    step = ledger.answered(Answer(200, GRANT | changes), UNIX)
    assert isinstance(step, Connect)
    return step.to


def waits(step: object) -> float:
    assert isinstance(step, Wait), step
    return step.seconds


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((4400, 4401, 4403, 4409), AfterClose.ASK),
        ((4429, 4503, 1012, 1013, 1001, 1006), AfterClose.ASK_ELSEWHERE),
        ((4000, 4099, 4410, 4419), AfterClose.STOP),
        ((1000, 1005, 1011, 3999, 4100, 4420), AfterClose.ASK),
    ],
)
def test_close_codes_come_in_ranges(codes: tuple[int, ...], expected: AfterClose) -> None:
    assert {after_close(code) for code in codes} == {expected}


def test_a_grant_is_a_place_to_go(ledger: ClientLedger) -> None:
    assert granted(ledger) == HERE
    assert ledger.session_id == SESSION


def test_a_question_has_an_id_until_it_is_answered(ledger: ClientLedger) -> None:
    wish = ledger.headers(NOW)["X-Client-Id"]
    ledger.answered(Answer(0), UNIX)
    assert ledger.headers(NOW) == {"X-Client-Id": wish}
    granted(ledger)
    assert ledger.headers(NOW)["X-Client-Id"] != wish


def test_coming_back_it_says_who_it_is_and_where_it_was(ledger: ClientLedger) -> None:
    ledger.welcomed(granted(ledger), NOW)
    ledger.ended(HERE, 4401, NOW + 10)
    told = ledger.headers(NOW + 10)
    assert told["X-Session-Id"] == SESSION
    assert told["X-Last-Handler"] == "WSH1"
    assert "X-Exclude-Handler" not in told


def test_a_handler_that_failed_is_left_out_for_a_while(ledger: ClientLedger) -> None:
    ledger.welcomed(granted(ledger), NOW)
    ledger.ended(HERE, 1006, NOW)
    told = ledger.headers(NOW + FORGIVE_S - 1)
    assert told["X-Exclude-Handler"] == "WSH1"
    assert "X-Last-Handler" not in told
    assert "X-Exclude-Handler" not in ledger.headers(NOW + FORGIVE_S)


def test_one_that_welcomes_us_again_is_forgiven(ledger: ClientLedger) -> None:
    ledger.ended(HERE, 1006, NOW)
    ledger.welcomed(HERE, NOW + 1)
    assert "X-Exclude-Handler" not in ledger.headers(NOW + 1)


def test_when_nobody_is_left_those_that_failed_are_asked_for_again(ledger: ClientLedger) -> None:
    ledger.ended(HERE, 1006, NOW)
    ledger.answered(Answer(503, {"reason": "no_handlers"}, "1"), UNIX)
    assert "X-Exclude-Handler" not in ledger.headers(NOW)


def test_the_list_of_those_left_out_is_bounded(ledger: ClientLedger) -> None:
    for number in range(20):
        ledger.ended(HERE._replace(handler=f"WSH{number}"), 1006, NOW)
    excluded = ledger.headers(NOW)["X-Exclude-Handler"].split(", ")
    assert excluded == [f"WSH{number}" for number in range(20 - MAX_EXCLUDED, 20)]


def test_after_a_connection_that_held_the_advised_window_counts(ledger: ClientLedger) -> None:
    delays = []
    for _ in range(200):
        ledger.welcomed(granted(ledger), NOW)
        delays.append(waits(ledger.ended(HERE, 1006, NOW + STEADY_S)))
    assert 2 <= min(delays) < 3
    assert 7 < max(delays) <= 8


def test_advice_that_comes_later_counts_from_then_on(ledger: ClientLedger) -> None:
    ledger.welcomed(granted(ledger), NOW)
    ledger.advised({"first_ms": [20_000, 20_000]})
    assert waits(ledger.ended(HERE, 1006, NOW + STEADY_S)) == 20


def test_failures_double_the_bound_up_to_the_cap(ledger: ClientLedger) -> None:
    rounds = [ClientLedger(random.Random(seed)) for seed in range(300)]
    worst = [max(waits(one.answered(Answer(0), UNIX)) for one in rounds) for _ in range(8)]
    for number, seconds in enumerate(worst):
        bound = min(30.0, 2.0**number)
        assert 0.9 * bound < seconds <= bound


def test_a_connection_that_never_holds_waits_longer_each_time() -> None:
    worst = 0.0
    for seed in range(100):
        ledger = ClientLedger(random.Random(seed))
        for _ in range(8):
            ledger.welcomed(granted(ledger, reconnect={"first_ms": [0, 0]}), NOW)
            worst = max(worst, waits(ledger.ended(HERE, 1006, NOW + 1)))
    assert worst > 10


def test_a_connection_that_moved_has_held_since_its_first_handler(ledger: ClientLedger) -> None:
    there = HERE._replace(handler="WSH2")
    ledger.welcomed(granted(ledger, reconnect=RECONNECT | {"first_ms": [5000, 5000]}), NOW)
    ledger.welcomed(there, NOW + STEADY_S - 1)
    assert waits(ledger.ended(there, 1006, NOW + STEADY_S)) == 5


def test_a_move_that_fails_leaves_that_handler_out(ledger: ClientLedger) -> None:
    ledger.welcomed(granted(ledger), NOW)
    ledger.move_failed(HERE._replace(handler="WSH2"), 1006, NOW)
    ledger.move_failed(HERE._replace(handler="WSH3"), 4401, NOW)
    assert ledger.headers(NOW)["X-Exclude-Handler"] == "WSH2"


def test_the_applications_last_word_is_final(ledger: ClientLedger) -> None:
    ledger.welcomed(granted(ledger), NOW)
    assert isinstance(ledger.ended(HERE, 4000, NOW), Stop)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_question_that_is_refused_is_not_asked_again(ledger: ClientLedger, status: int) -> None:
    assert ledger.answered(Answer(status, {"message": "no"}), UNIX) == Stop("no")


def test_a_token_that_has_ended_may_be_renewed_once(ledger: ClientLedger) -> None:
    assert ledger.answered(Answer(401), UNIX, renewed=False) == Renew()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize(("retry_after", "least"), [("7", 7), ("soon", 0), (None, 0), ("-1", 0)])
def test_retry_after_is_the_least(
    ledger: ClientLedger, status: int, retry_after: str | None, least: float
) -> None:
    assert least <= waits(ledger.answered(Answer(status, {}, retry_after), UNIX)) <= least + 1


def test_an_appointment_is_kept_to_the_millisecond_and_shown_at_the_door(ledger: ClientLedger) -> None:
    body = {"queue_token": "q1", "retry_at_ms": (UNIX + 4.3) * 1000}
    assert waits(ledger.answered(Answer(503, body, "5"), UNIX)) == pytest.approx(4.3, abs=0.001)
    assert ledger.headers(NOW)["X-Queue-Token"] == "q1"
    granted(ledger)
    assert "X-Queue-Token" not in ledger.headers(NOW)


@pytest.mark.parametrize("skew_s", [-3600, -2.5, 2.5, 3600])
def test_a_clock_that_is_wrong_falls_back_to_retry_after(ledger: ClientLedger, skew_s: float) -> None:
    body = {"queue_token": "q1", "retry_at_ms": (UNIX + 5) * 1000}
    assert waits(ledger.answered(Answer(503, body, "5"), UNIX + skew_s)) == 5


def test_another_session_counts_from_its_own_beginning(rng: random.Random) -> None:
    ledger = ClientLedger(rng, session_id=SESSION, seq=41)
    granted(ledger)
    assert ledger.seq == 41
    granted(ledger, session_id="f" * 32)
    assert ledger.seq is None


@given(st.lists(st.integers(0, 20)))
def test_numbered_messages_pass_once_and_in_order(seqs: list[int]) -> None:
    ledger, passed = ClientLedger(random.Random(1)), []
    for seq in seqs:
        if ledger.is_news(seq):
            passed.append(seq)
            ledger.passed_on(seq)
    assert passed == sorted(set(passed))
    assert not seqs or ledger.seq == max(seqs)


@pytest.mark.parametrize("unnumbered", [None, "5", True, 5.0, [5]])
def test_what_has_no_number_always_passes(ledger: ClientLedger, unnumbered: object) -> None:
    ledger.passed_on(5)
    ledger.passed_on(unnumbered)
    assert ledger.is_news(unnumbered)
    assert ledger.seq == 5


body_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


@given(
    st.integers(0, 599),
    st.dictionaries(
        st.sampled_from([*GRANT, "queue_token", "retry_at_ms", "message"]), body_values, max_size=5
    ),
    st.none() | st.text(),
)
def test_any_answer_leads_somewhere_and_no_wait_is_endless(
    status: int, body: dict[str, Any], retry_after: str | None
) -> None:
    step = ClientLedger(random.Random(1)).answered(Answer(status, body, retry_after), UNIX)
    assert isinstance(step, Connect | Wait | Stop)
    if isinstance(step, Wait):
        assert 0 <= step.seconds <= 660
