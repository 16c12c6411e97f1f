"""Seats handed out by `/get_websocket_handler`: memory store, token and rate limit checked, ticket signed.

Ten handlers say hello and report every second, as their SDK does. The clients never connect, so seats lapse
after `GUARANTEED_S`, and neither capacity nor `seats_per_user` ends the run.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import quaymaster
from bench.calls import Refused, call, get
from bench.contest import Contest, Contestant, contest, how, take_turns, turn
from bench.load import wrk
from bench.load.wrk import Work
from bench.peers.base import Place
from bench.report import Goal, Options, Report
from tests.servers import free_ports

PATH = "/get_websocket_handler"
HANDLERS = 10
CAPACITY = 100_000
GUARANTEED_S = 1.0
FEW = 1_000
"""Users whose tokens all fit into the gateway's cache of verified ones."""
MANY = 20_000
"""Users whose tokens don't: each token is verified anew."""
COLYSEUS_PER_S = 1_112.0
"""Seat reservations a second on a core, measured on the same kind of machine; not measured again here."""
GOAL = 10.0
AGAIN = "Quaymaster, tokens seen before"
ANEW = "Quaymaster, every token new"


def measure(options: Options) -> Report:
    behind = free_ports(HANDLERS)
    with TemporaryDirectory(prefix="quaymaster-bench-") as folder:
        works = {title: work(Path(folder), users) for title, users in ((AGAIN, FEW), (ANEW, MANY))}
        launch = quaymaster.launcher(settings, options.tree)
        entries = [Contestant(title, launch) for title in works]
        with contest(entries, seated(behind), behind=behind) as taken, reports(taken, behind):
            take_turns(taken, lambda one: turn(one, works[one.title], options), options)
    taken.programs["wrk"] = wrk.version()
    found = Report(
        measurement="seats",
        title="Hand out a seat at a WebSocket handler (memory store)",
        rows=taken.rows(),
        notes=(
            *how(),
            f"32 keep-alive connections; {FEW:,} users, or {MANY:,} that no cache of tokens holds",
            f"{HANDLERS} handlers that report every second; seats lapse after {GUARANTEED_S:g} s",
            f"Colyseus: {COLYSEUS_PER_S:,.0f} seat reservations/s a core, from an earlier run",
        ),
        programs=taken.programs,
    )
    per_s = found.figure(AGAIN, "per_s")
    times = None if per_s is None else per_s / COLYSEUS_PER_S
    return found.judged(Goal("Quaymaster / Colyseus", times, "at least", GOAL))


def work(folder: Path, users: int) -> Work:
    """Requests of that many users in turn."""
    file = folder / f"{users}.tokens"
    file.write_text("".join(f"{quaymaster.token(f'user-{number}')}\n" for number in range(users)))
    return Work(PATH, script="seats.lua", arguments=(str(file),))


def settings(place: Place) -> dict[str, Any]:
    """The handlers are instances at fixed addresses; what they say themselves makes them eligible."""
    return quaymaster.settings_on(place) | {
        "services": {
            "websocket-handler": {"instances": [f"http://{address}" for address in place.addresses]}
        },
        "routes": [],
        "handlers": {"capacity": CAPACITY, "guaranteed_s": GUARANTEED_S, "seats_per_user": 10_000},
    }


def hello(port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}"
    return {"handler_id": f"127.0.0.1:{port}", "epoch": 1, "url": url, "capacity": CAPACITY}


def seated(handlers: list[int]) -> Callable[[int], bool]:
    """Whether a gateway hands out seats: the handlers say hello to it until it does."""

    def ready(port: int) -> bool:
        try:
            for handler in handlers:
                call(port, "POST", "/handlers/register", hello(handler))
        except (OSError, Refused):
            return False
        return get(port, PATH, quaymaster.user_headers()) == 200

    return ready


@contextmanager
def reports(gateways: Contest, handlers: list[int]) -> Iterator[None]:
    """Every handler reports to every gateway each second while the block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(1.0):
            for gateway in gateways.started:
                for handler in handlers:
                    seq = time.monotonic_ns() // 1000
                    message = {"handler_id": f"127.0.0.1:{handler}", "epoch": 1, "seq": seq, "connections": 0}
                    call(gateway.port, "POST", "/handlers/report", message)

    reporter = threading.Thread(target=run, name="handlers' reports")
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()
