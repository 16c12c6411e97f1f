"""Measurements: `python -m bench` runs all, `python -m bench propagation` one.

Each prints a table and leaves `bench/results/<name>.json`. They are no tests: a figure depends on the
machine, which the result names. To add one: a file with `async def measure(options: Options) -> Report`,
and its line in `MEASUREMENTS`.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import cast

from bench.report import Options, Report

MEASUREMENTS = {
    "propagation": "bench.propagation",
}


def load_measurement(name: str) -> Callable[[Options], Awaitable[Report]]:
    """Raises `KeyError` for a name not in the table."""
    return cast(Callable[[Options], Awaitable[Report]], import_module(MEASUREMENTS[name]).measure)
