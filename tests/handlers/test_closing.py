from handlers.closing import CLOSE_CODES, CloseCode, Refusal, TurnedAway


def test_every_refusal_has_a_close_code() -> None:
    assert set(CLOSE_CODES) == set(Refusal)
    assert {refusal: TurnedAway(refusal).close_code for refusal in Refusal} == CLOSE_CODES


def test_the_codes_are_the_published_ones() -> None:
    assert sorted(CloseCode) == [1012, 1013, 4400, 4401, 4403, 4409, 4429, 4503]


def test_reasons_fit_a_close_frame() -> None:
    """Its payload has 125 bytes, two of them the code."""
    assert max(len(refusal.value) for refusal in Refusal) <= 123
