"""Settings on their way from text to models: plain data, every mistake so far, and who set what.

Rules of this file: it is the word the other settings files share. No message quotes a value, which may be a
secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, and what to write instead."""

    key: str
    """`routes[3].service`; empty for the settings as a whole."""
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass(slots=True)
class Document:
    """The merged data, what went wrong on the way, and who set what beside the text."""

    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, message: str) -> None:
        """A mistake at that path; the empty path is the settings as a whole."""
        self.problems.append(Problem(key_path(path), message))

    def origin(self, path: Path) -> str:
        """Which variable or option set the value at `path`, or the nearest thing that holds it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return ""


def key_path(path: Sequence[str | int]) -> str:
    """("routes", 3, "service") -> `routes[3].service`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
