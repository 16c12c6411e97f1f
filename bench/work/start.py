"""From the start of the process to its first answer, with settings of 100 routes."""

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import quaymaster
from bench.calls import get
from bench.instances import instances
from bench.machine import GATEWAY_CORE
from bench.paths import SMALL
from bench.peers.base import Place
from bench.processes import running
from bench.report import Goal, Options, Report, Row, percentile, times_ms
from tests.servers import free_ports

ROUTES = 100
SERVICES = 10
STARTS = 10
PATIENCE_S = 20.0
GOAL_S = 1.0
CASE = f"Quaymaster, {ROUTES} routes"


def measure(options: Options) -> Report:
    with TemporaryDirectory(prefix="quaymaster-bench-") as folder, ExitStack() as stack:
        root = Path(folder)
        root.chmod(0o755)
        behind = stack.enter_context(instances(root))
        seconds = []
        for number in range(3 if options.quick else STARTS):
            place = Place(free_ports(1)[0], behind.ports, root / str(number))
            place.folder.mkdir()
            seconds.append(one_start(place, options))
    return Report(
        measurement="start",
        title="Start, until the first answer of an instance",
        rows=(Row(CASE, times_ms(seconds)),),
        goals=(Goal(f"{CASE}: median, s", percentile(seconds, 0.5), "at most", GOAL_S),),
        notes=(f"{SERVICES} services at fixed addresses; files in the page cache; asked every 5 ms",),
        programs={"instances": behind.program},
    )


def one_start(place: Place, options: Options) -> float:
    """Seconds. Raises `DidNotStart`."""
    launch = quaymaster.launcher(settings, options.tree)(place)
    started = time.perf_counter()
    with running(launch, GATEWAY_CORE, place.folder / "log", out=place.folder / "access.log") as process:
        while get(place.port, f"/route-{ROUTES - 1}{SMALL}", quaymaster.user_headers()) != 200:
            process.check()
            if time.perf_counter() - started > PATIENCE_S:
                process.give_up("no answer")
            time.sleep(0.005)
        return time.perf_counter() - started


def settings(place: Place) -> dict[str, Any]:
    fixed = [f"http://{address}" for address in place.addresses]
    return quaymaster.settings_on(place) | {
        "services": {f"service-{number}": {"instances": fixed} for number in range(SERVICES)},
        "routes": [
            {
                "path": f"/route-{number}/*",
                "service": f"service-{number % SERVICES}",
                "access": "user",
                "strip_prefix": f"/route-{number}",
            }
            for number in range(ROUTES)
        ],
    }
