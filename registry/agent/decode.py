"""JSON bodies read by Go's rules, because Consul's clients rely on them.

Keys match whatever their case (py-consul writes `name`, others `Name`), `null` is the same as absent,
and an unknown key is an error rather than a setting silently lost. Pure.

What passes here is written into everybody's answers. So text that is no UTF-8 and numbers beyond 64
bits are refused: orjson could not write them, and one registration would stop the reading of all.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from registry.agent.durations import BadDuration, read_duration

INT64 = range(-(1 << 63), 1 << 63)
"""Go's `int`."""

Reader = Callable[[str, Any], Any]
"""(key, value that is not null) -> what it means; raises `BadBody`."""


class BadBody(ValueError):
    """A request body that can't be understood. The message is for the caller, in Consul's words."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; `null` is an empty one. Raises `BadBody`."""
    if not body.strip():
        raise BadBody("Request decode failed: EOF")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"Request decode failed: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadBody(f"Request decode failed: json: cannot unmarshal {_kind(value)} into an object")
    return value


def read_fields(value: Mapping[str, Any], fields: Mapping[str, Reader]) -> dict[str, Any]:
    """The fields of an object, under the names of `fields`. Raises `BadBody`."""
    by_lower_case = {name.lower(): name for name in fields}
    found = {}
    for key, item in value.items():
        name = by_lower_case.get(key.lower())
        if name is None:
            raise BadBody(f'Request decode failed: json: unknown field "{key[:64]}"')
        if item is not None:
            found[name] = fields[name](name, item)
    return found


def text(key: str, value: Any) -> str:
    return str(_typed(key, value, str, "string"))


def boolean(key: str, value: Any) -> bool:
    return bool(_typed(key, value, bool, "bool"))


def whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in INT64:
        raise _mismatch(key, value, "int")
    return value


def duration(_key: str, value: Any) -> float:
    """Seconds."""
    try:
        return read_duration(value)
    except BadDuration as error:
        raise BadBody(f"Request decode failed: {error}") from None


def texts(key: str, value: Any) -> tuple[str, ...]:
    items = _typed(key, value, list, "[]string")
    return tuple("" if item is None else text(key, item) for item in items)


def text_map(key: str, value: Any) -> dict[str, str]:
    items = _typed(key, value, dict, "map[string]string")
    return {name: "" if item is None else text(key, item) for name, item in items.items()}


def header_map(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    items = _typed(key, value, dict, "map[string][]string")
    return {name: () if item is None else texts(key, item) for name, item in items.items()}


def nested(fields: Mapping[str, Reader]) -> Reader:
    """A reader of an object with these fields."""
    return lambda key, value: read_fields(_typed(key, value, dict, "object"), fields)


def listed(fields: Mapping[str, Reader]) -> Reader:
    """A reader of a list of objects with these fields."""
    read = nested(fields)
    return lambda key, value: [
        read(key, {} if item is None else item) for item in _typed(key, value, list, "list of objects")
    ]


def mapped(fields: Mapping[str, Reader]) -> Reader:
    """A reader of a map from names to objects with these fields."""
    read = nested(fields)
    return lambda key, value: {
        name: read(key, {} if item is None else item)
        for name, item in _typed(key, value, dict, "map of objects").items()
    }


def anything(_key: str, value: Any) -> Any:
    return value


def _typed(key: str, value: Any, wanted: type, name: str) -> Any:
    if not isinstance(value, wanted):
        raise _mismatch(key, value, name)
    return value


def _mismatch(key: str, value: Any, name: str) -> BadBody:
    what = f"{_kind(value)} into Go struct field .{key} of type {name}"
    return BadBody(f"Request decode failed: json: cannot unmarshal {what}")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
