"""Single values from beside the text: `QUAYMASTER__LISTEN__PORT=9000` and `--set listen.port=9000`.

`QUAYMASTER__SERVICES__MY_API__STRATEGY` is split at `__`, and a word names the key that is there already if
they differ by letter case only, or by `_` where the key has `-` or `.`: here the service `my-api`. Other
words are taken in lower case. `--set services.my-api.strategy` is split at dots, and words that name a key
with a dot in it only together are taken together; letter case is kept. An element of a list goes by its
number: `QUAYMASTER__ROUTES__0__LIMIT`, `--set routes[0].limit`.

Rules of this file: an override changes plain data in place and validates nothing but its own path.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from gateway.settings_document import Document, Problem, key_path
from gateway.settings_yaml import SYNTAX_ERRORS, StrictLoader, describe

PREFIX = "QUAYMASTER__"


def from_environment(name: str, value: str) -> "Override":
    """The override of a variable whose name starts with the prefix."""
    return Override(name, name[len(PREFIX) :].split("__"), value, in_environment=True)


def from_option(name: str, value: str) -> "Override":
    """The override of one `--set name=value`."""
    words = re.sub(r"\[(\d+)\]", r".\1", name).split(".")
    return Override(f"--set {name}", words, value, in_environment=False)


@dataclass(frozen=True, slots=True)
class Override:
    """One value from beside the text; `words` are the parts of its path as the operator wrote them."""

    name: str
    words: list[str]
    value: str
    in_environment: bool

    def key(self, here: dict[str, Any], words: list[str]) -> tuple[str, int] | str:
        """The key that the first words name and how many they are, or why they name none."""
        for used in range(1 if self.in_environment else len(words), 0, -1):
            word = ".".join(words[:used])
            same = [key for key in here if self._plain(key) == self._plain(word)]
            if word in here:
                return word, used
            if len(same) > 1:
                return f"{word} may be {' or '.join(sorted(same))}: use --set"
            if same:
                return same[0], used
        word = words[0].lower() if self.in_environment else words[0]
        return (word, 1) if word else "a part of the name is empty"

    def _plain(self, word: str) -> str:
        return re.sub(r"[.-]", "_", word.lower()) if self.in_environment else word.lower()


def apply(document: Document, override: Override) -> None:
    """Sets its value in the document, or adds why it can't."""
    here: Any = document.data
    path: list[str | int] = []
    words = override.words
    while True:
        step = _step(here, words, override)
        if isinstance(step, str):
            key = key_path(path) or override.name
            document.problems.append(Problem(key, f"{step} (set by {override.name})"))
            return
        path.append(step[0])
        words = words[step[1] :]
        if not words:
            break
        if isinstance(here, dict) and here.get(path[-1]) is None:
            here[path[-1]] = {}
        here = here[path[-1]]
    try:
        here[path[-1]] = scalar(override.value)
    except SYNTAX_ERRORS as error:
        document.add(tuple(path), f"{describe(error)} (set by {override.name})")
        return
    document.origins[tuple(path)] = f"set by {override.name}"


def _step(here: Any, words: list[str], override: Override) -> tuple[str | int, int] | str:
    """Where the next words lead and how many they are, or why they lead nowhere."""
    if isinstance(here, dict):
        return override.key(here, words)
    if not isinstance(here, list):
        return f"is a single value and holds no {words[0]}"
    if words[0].isdecimal() and words[0].isascii() and int(words[0][:9]) < len(here):
        return int(words[0]), 1
    return f"has no element {words[0]}: it is a list of {len(here)}"


def scalar(text: str) -> Any:
    """An override's value, read as YAML: `[a, b]` is a list, `null` is nothing, `"007"` is text.

    Numbers stay text: the settings turn them into numbers where a number is wanted, and a secret of
    digits stays a secret. So does what holds a `${`, which YAML would read as the start of a mapping.
    """
    if "${" in text:
        return text
    read = yaml.load(text, Loader=StrictLoader)
    if isinstance(read, int | float) and not isinstance(read, bool):
        return text.strip()
    return "" if read is None and not text.strip() else read
