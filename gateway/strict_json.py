"""JSON from strangers, read so that nobody else can read it differently.

Rules of this file: what parsers disagree on is refused: a key that an object has twice (some take the first,
some the last), NaN and Infinity, any encoding but UTF-8 (RFC 8259, 4, 6 and 8.1; RFC 7515, 4).
"""

import json
from typing import Any, NoReturn


def read_json(raw: bytes) -> Any:
    """The value. Raises `ValueError`, also for what is nested too deep."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unambiguous, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return read


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
