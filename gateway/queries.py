"""Parameters of a query, set and removed; all others stay as they came, byte for byte and in their order.

Rules of this file: a name is compared with its escapes decoded once, and as the laxest instances read it, or
they would find a parameter that was meant to be gone. Some take `;` for another `&`. Many read `a[]` and
`a[x]` as parts of `a`. PHP overlooks spaces before a name and what follows a NUL, and makes `_` of a space, a
dot and a `[` that is not closed.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_SEPARATOR = re.compile("([&;])")
_UNDERSCORES = str.maketrans(" .[", "___")


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
            names = _readings(piece.partition("=")[0])
            if names.isdisjoint(self.remove) and names.isdisjoint(self.set):
                kept.append(separator + piece if kept else piece)
        return "".join(kept)


def _readings(raw: str) -> Set[str]:
    """What instances may take a name for. Those of the settings are letters, digits, `_`, `.`, `~`, `-`."""
    name = unquote_to_bytes(raw.replace("+", " ")).decode("latin-1").partition("\0")[0].lstrip(" ")
    whole = name.partition("[")[0]
    return {whole, whole.translate(_UNDERSCORES), name.translate(_UNDERSCORES)}
