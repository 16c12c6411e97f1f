"""Consul's rules for a service's meta, in Consul's words. Pure."""

import re
from collections.abc import Mapping

MAX_PAIRS = 64
MAX_KEY = 128
MAX_VALUE = 512
_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def metadata_fault(meta: Mapping[str, str]) -> str | None:
    """What is wrong with the pairs, `None` when nothing is."""
    if len(meta) > MAX_PAIRS:
        return f"Node metadata cannot contain more than {MAX_PAIRS} key/value pairs"
    for key, value in meta.items():
        if fault := _pair_fault(key, value):
            return f"Couldn't load metadata pair ('{key}', '{value}'): {fault}"
    return None


def _pair_fault(key: str, value: str) -> str | None:
    if not key:
        return "Key cannot be blank"
    if not _KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > MAX_KEY:
        return f"Key is too long (limit: {MAX_KEY} characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    if len(value) > MAX_VALUE:
        return f"Value is too long (limit: {MAX_VALUE} characters)"
    return None
