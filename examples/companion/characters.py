"""Whom one can meet here: invented, and the same for everybody."""

from dataclasses import dataclass

from examples.standins.service import Refusal


@dataclass(frozen=True, slots=True)
class Character:
    id: str
    name: str
    likes: str

    def shown(self) -> dict[str, str]:
        return {"girl_id": self.id, "name": self.name, "likes": self.likes}


CHARACTERS = {
    one.id: one
    for one in (
        Character("luna", "Luna", "the night sky"),
        Character("mia", "Mia", "old films"),
        Character("noor", "Noor", "mountains"),
    )
}


def character(id: str) -> Character:
    """Raises `Refusal` (404) for somebody whom nobody has invented."""
    found = CHARACTERS.get(id)
    if found is None:
        raise Refusal(404, "there is no such character")
    return found
