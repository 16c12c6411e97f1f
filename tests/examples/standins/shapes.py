"""What an answer must look like: the JSON itself, with types in place of the values that vary."""

from collections.abc import Mapping
from typing import Any

Shape = Any
"""`{"id": str, "tags": [str], "status": "new"}`: an object with these fields, perhaps more. A list of one
shape: elements that all have it, at least one. `[]`: a list, perhaps empty. `...`: anything."""


def mismatch(shape: Shape, value: object, at: str = "answer") -> str | None:
    """The first thing that is not as `shape` says; `None` if all is well."""
    if shape is ...:
        return None
    if isinstance(shape, type):
        return None if isinstance(value, shape) else f"{at} is {value!r}, no {shape.__name__}"
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            return f"{at} is {value!r}, no object"
        missing = [name for name in shape if name not in value]
        if missing:
            return f"{at} has no {missing[0]}: {value!r}"
        return _first(mismatch(part, value[name], f"{at}.{name}") for name, part in shape.items())
    if isinstance(shape, list):
        if not isinstance(value, list) or (shape and not value):
            return f"{at} is {value!r}, no list{' of some' if shape else ''}"
        return _first(mismatch(shape[0], one, f"{at}[{n}]") for n, one in enumerate(value)) if shape else None
    return None if value == shape else f"{at} is {value!r}, not {shape!r}"


def _first(found: Any) -> str | None:
    return next((problem for problem in found if problem), None)
