"""Parameters of a query, set and removed; all others stay as they came, byte for byte and in their order.

Rules of this file: a name is compared with its escapes decoded once, as instances do it. Some of them take
`;` for another `&`, and would find a parameter behind it that was meant to be replaced: here both separate.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_SEPARATOR = re.compile("([&;])")


@dataclass(frozen=True, slots=True)
class QueryChanges:
    """What a route changes in the query that goes upstream."""

    remove: Set[str] = frozenset()
    """Names, without escapes."""
    set: Mapping[str, str] = field(default_factory=dict)
    """Names and values that need no escapes; those of the same name are replaced."""

    def of(self, query: str) -> str:
        """The query that goes upstream for a raw one; both with the question mark, or empty."""
        kept = self._without(query[1:])
        added = "&".join(f"{name}={value}" for name, value in self.set.items())
        text = f"{kept}&{added}" if kept and added else kept or added
        return "?" + text if text or query == "?" else ""

    def _without(self, raw: str) -> str:
        """The raw query without the parameters of these names, each with the separator before it."""
        pieces = _SEPARATOR.split(raw)
        kept: list[str] = []
        for separator, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
            name = _decoded(piece.partition("=")[0])
            if name not in self.remove and name not in self.set:
                kept.append(separator + piece if kept else piece)
        return "".join(kept)


def _decoded(name: str) -> str:
    """No name of the settings holds what is not ASCII, nor `+`, which some take for a space."""
    return unquote_to_bytes(name).decode("latin-1")
