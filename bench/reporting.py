"""WebSocket handlers that only say hello and report, as their SDK does: who hands out seats there sees ten
processes, and nothing competes with the gateways for a core.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench import quaymaster
from bench.calls import Refused, call, get

SEATS = "/get_websocket_handler"
REPORT_S = 1.0
DEAD_AFTER_S = 10.0
"""Longer than an operator's 3 s: reports share a core with the load, and on a busy machine a round of them
may be so late that all handlers are taken for dead."""
UNTHROTTLED = {"joins_per_s": 10**6, "joins_burst": 10**6, "slow_start_s": 0}
"""Settings of a pool whose handlers take in whoever comes."""


def hello(handler: int, capacity: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{handler}"
    return {"handler_id": f"127.0.0.1:{handler}", "epoch": 1, "url": url, "capacity": capacity}


def seated(handlers: Sequence[int], capacity: int) -> Callable[[int], bool]:
    """Whether a gateway hands out seats: the handlers say hello to it until it does."""

    def ready(gateway: int) -> bool:
        try:
            for handler in handlers:
                call(gateway, "POST", "/handlers/register", hello(handler, capacity))
        except (OSError, Refused):
            return False
        return get(gateway, SEATS, quaymaster.user_headers()) == 200

    return ready


@contextmanager
def reports(gateways: Sequence[int], handlers: Sequence[int]) -> Iterator[None]:
    """Every handler reports to every one of these gateways each second while the block runs."""
    ended = threading.Event()

    def run() -> None:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + REPORT_S, time.monotonic())
            for gateway in gateways:
                for handler in handlers:
                    report(gateway, handler)

    reporter = threading.Thread(target=run, name="handlers' reports")
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


def report(gateway: int, handler: int) -> None:
    """Nobody is connected. A call that fails is made up for by the next one, as in the SDK."""
    seq = time.monotonic_ns() // 1000
    message = {"handler_id": f"127.0.0.1:{handler}", "epoch": 1, "seq": seq, "connections": 0}
    try:
        call(gateway, "POST", "/handlers/report", message)
    except (OSError, Refused):
        pass
