import pytest

from examples.companion.characters import CHARACTERS, character
from examples.standins.service import Refusal


def test_each_character_goes_by_its_id() -> None:
    assert all(character(id).shown()["girl_id"] == id for id in CHARACTERS)


def test_whom_nobody_has_invented_is_not_found() -> None:
    with pytest.raises(Refusal) as refused:
        character("nobody")
    assert refused.value.status == 404
