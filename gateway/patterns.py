"""The path patterns of routes: literal segments, `{name}` for one segment, `/*` for all that follows.

Rules of this file: a pattern is compared segment by segment. Literals are compared with their escapes
decoded once, so `/%61dmin` can't slip past a route for `/admin`; what is forwarded stays as it came.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.target import path_is_carried

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Literal:
    raw: str

    @property
    def key(self) -> str:
        return decoded(self.raw)


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed path. `/a/*` has one segment and `rest`; `/` has one segment, which is empty."""

    segments: tuple[Literal | Name, ...]
    rest: bool
    """Whether it ends in `/*`, which stands for one segment or more, perhaps an empty one."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.segments if isinstance(part, Name))

    @property
    def shape(self) -> tuple[str | None, ...]:
        """Equal for patterns that match the same paths: literals, `None` for a name, and the rest."""
        keys = (part.key if isinstance(part, Literal) else None for part in self.segments)
        return (*keys, "/*") if self.rest else tuple(keys)

    @property
    def exact(self) -> bool:
        return not self.rest and not self.names

    def fill(self, values: Sequence[str], rest: Sequence[str]) -> str:
        """The path with `values` in place of its names, in their order, and `rest` in place of `/*`."""
        remaining = iter(values)
        parts = [part.raw if isinstance(part, Literal) else next(remaining) for part in self.segments]
        return "/" + "/".join([*parts, *rest] if self.rest else parts)


def decoded(segment: str) -> str:
    """The segment with its escapes decoded once, as bytes in latin-1: any byte has a place in it."""
    return unquote_to_bytes(segment).decode("latin-1") if "%" in segment else segment


def split(path: str) -> list[str]:
    """`/a/b` -> [a, b]; `/` -> [""]; `/a/` -> [a, ""]."""
    return path[1:].split("/")


def parse_pattern(text: str) -> Pattern | str:
    """The pattern, or what is wrong with it, in words that follow the key."""
    rest = text.endswith("/*")
    body = text.removesuffix("/*") if rest else text
    segments: list[Literal | Name] = []
    for part in split(body) if body else []:
        if found := _NAME.fullmatch(part):
            segments.append(Name(found[1]))
        elif set("{}*") & set(part):
            return "a segment is plain text, a whole {name}, or * as the last one: /users/{id}, /files/*"
        else:
            segments.append(Literal(part))
    pattern = Pattern(tuple(segments), rest)
    if not path_is_carried(pattern.fill(["x"] * len(pattern.names), ["x"]) if text.startswith("/") else text):
        return (
            "must start with / and hold neither //, dot segments, escapes of / or \\, ?, # nor spaces: "
            "no request with such a path is carried"
        )
    if len(set(pattern.names)) < len(pattern.names):
        return "names the same {name} twice"
    return pattern
