"""Measurements: `python -m bench` takes all, `python -m bench get --quick` has a quick look at one.

Each prints a table and leaves `bench/results/<name>.json`. They are no tests: a figure depends on the
machine, which the result names. To add one: a file with `def measure(options: Options) -> Report` in
bench/work/, and its line in `MEASUREMENTS`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from bench.report import Options, Report

MEASUREMENTS = {
    "get": "bench.work.forward_get",
    "front-door": "bench.work.front_door",
    "limits": "bench.work.rate_limits",
    "post": "bench.work.forward_post",
    "down": "bench.work.forward_down",
    "up": "bench.work.forward_up",
    "instance": "bench.work.service_instance",
    "seats": "bench.work.handler_seats",
    "seats-redis": "bench.work.redis_seats",
    "death": "bench.work.handler_death",
    "picks": "bench.work.picks",
    "one-slow": "bench.work.one_slow",
    "idle": "bench.work.idle_connections",
    "latency": "bench.work.added_latency",
    "tunnel": "bench.work.tunnel_messages",
    "slow-reader": "bench.work.slow_reader",
    "start": "bench.work.start",
    "propagation": "bench.work.propagation",
}


def load_measurement(name: str) -> Callable[[Options], Report]:
    """Raises `KeyError` for a name not in the table."""
    return cast(Callable[[Options], Report], import_module(MEASUREMENTS[name]).measure)
