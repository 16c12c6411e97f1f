"""Seats handed out by `/get_websocket_handler`: memory store, token and rate limit checked, ticket signed.

Ten handlers say hello and report every second, as their SDK does. The clients never connect, so a seat is
held for `GUARANTEED_S` and the time in which a death is noticed, and neither capacity, `seats_per_user` nor
what a handler takes in per second ends the run.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import quaymaster
from bench.contest import Contestant, contest, how, take_turns, turn
from bench.load import wrk
from bench.load.wrk import Work
from bench.peers.base import Place
from bench.report import Goal, Options, Report
from bench.reporting import DEAD_AFTER_S, SEATS, UNTHROTTLED, reports, seated
from tests.servers import free_ports

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
        with contest(entries, seated(behind, CAPACITY), behind=behind) as taken:
            ports = [one.port for one in taken.started]
            with reports(ports, behind):
                take_turns(taken, lambda one: turn(one, works[one.title], options), options)
    taken.programs["wrk"] = wrk.version()
    found = Report(
        measurement="seats",
        title="Hand out a seat at a WebSocket handler (memory store)",
        rows=taken.rows(),
        notes=(
            *how(),
            f"32 keep-alive connections; {FEW:,} users, or {MANY:,} that no cache of tokens holds",
            f"{HANDLERS} handlers that report every second; seats held for {GUARANTEED_S + DEAD_AFTER_S:g} s",
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
    return Work(SEATS, script="seats.lua", arguments=(str(file),))


def settings(place: Place) -> dict[str, Any]:
    """The handlers are instances at fixed addresses; what they say themselves makes them eligible."""
    return quaymaster.settings_on(place) | {
        "services": {
            "websocket-handler": {"instances": [f"http://{address}" for address in place.addresses]}
        },
        "routes": [],
        "handlers": {
            "capacity": CAPACITY,
            "guaranteed_s": GUARANTEED_S,
            "dead_after_s": DEAD_AFTER_S,
            "seats_per_user": 10_000,
            **UNTHROTTLED,
        },
    }
