import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from hypothesis import given
from hypothesis import strategies as st

from handlers.queue_token import LENGTH, QueueTokens
from handlers.ticket import TicketSecrets

KEY, OLD = b"k" * 32, b"o" * 32
TOKENS = QueueTokens("chat", [KEY, OLD])
slots = st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(), slots)
def test_who_got_an_appointment_has_it(uid: str, slot: float) -> None:
    token = TOKENS.sign(uid, slot)
    assert re.fullmatch(r"[\w-]{32}", token, re.ASCII)
    assert TOKENS.slot(uid, token) == slot


@given(st.text(), st.text(), slots)
def test_nobody_else_has_it(uid: str, other: str, slot: float) -> None:
    token = TOKENS.sign(uid, slot)
    if other != uid:
        assert TOKENS.slot(other, token) is None
    assert QueueTokens("feed", [KEY]).slot(uid, token) is None
    assert QueueTokens("chat", [OLD]).slot(uid, token) is None


def test_pool_and_user_are_told_apart() -> None:
    token = QueueTokens("cha", [KEY]).sign("tann", 5.0)
    assert QueueTokens("chat", [KEY]).slot("ann", token) is None


@given(slots, st.integers(0, LENGTH * 6 - 1))
def test_no_bit_of_it_may_be_changed(slot: float, bit: int) -> None:
    raw = bytearray(urlsafe_b64decode(TOKENS.sign("ann", slot)))
    raw[bit // 8] ^= 1 << bit % 8
    assert TOKENS.slot("ann", urlsafe_b64encode(raw).decode()) is None


@given(st.text() | st.text(alphabet="AZaz09-_=+/é ", min_size=30, max_size=34))
def test_anything_else_is_no_appointment(text: str) -> None:
    assert TOKENS.slot("ann", text) is None


def test_one_that_is_no_instant_is_none_even_when_signed() -> None:
    for slot in (float("nan"), float("inf")):
        assert TOKENS.slot("ann", TOKENS.sign("ann", slot)) is None


def test_the_clusters_secret_may_change_while_clients_wait() -> None:
    old, new = "an older secret of the whole cluster", "the newer secret of the whole cluster"
    before = QueueTokens("chat", TicketSecrets(old).queue_keys())
    after = QueueTokens("chat", TicketSecrets(new, old).queue_keys())
    assert after.slot("ann", before.sign("ann", 5.0)) == 5.0
    assert before.slot("ann", after.sign("ann", 5.0)) is None
    assert len({*TicketSecrets(new, old).queue_keys()}) == 2
