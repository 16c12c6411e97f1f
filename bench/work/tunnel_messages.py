"""WebSocket messages through each gateway: 64 clients, each sends one and waits for its echo.

Client and echo are Python and share a core, so they are the limit before the fast gateways are: what a
gateway itself spends on a message is in the CPU column.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from bench import quaymaster
from bench.contest import Started, answers, contest, contestants, features_on, how, take_turns
from bench.instances import own_instance
from bench.load.client import run_client
from bench.paths import SMALL
from bench.report import Options, Report
from tests.servers import free_ports

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "caddy")
CLIENTS = 64
PATH = "/ws/echo"
DIRECT = "no gateway"


def measure(options: Options) -> Report:
    (port,) = free_ports(1)
    with TemporaryDirectory(prefix="quaymaster-bench-") as folder:
        entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
        with (
            own_instance(port, Path(folder)),
            contest(entries, answers(SMALL), behind=[port]) as taken,
        ):
            taken.started.append(Started(DIRECT, port, None, ours=False))
            for one in list(taken.started):
                if problem := why_not(one):
                    taken.left_out.append(f"{one.title}: not available: {problem}")
                    taken.started.remove(one)
            take_turns(taken, lambda one: turn(one, options.seconds), options)
    return Report(
        measurement="tunnel",
        title=f"WebSocket messages of 125 bytes there and back ({CLIENTS} clients)",
        rows=taken.rows(),
        notes=(*how(), "each client sends a message and waits for its echo; CPU is the gateway's, a message"),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
        ours=(quaymaster.ON,),
        compare="per_s",
    )


def why_not(one: Started) -> str | None:
    """What is wrong with its tunnel, `None` for one that works."""
    try:
        messages(one, clients=1, seconds=0.2)
    except ValueError as problem:
        return str(problem)
    return None


def turn(one: Started, seconds: float) -> dict[str, float]:
    before_s = one.cpu_s()
    taken = messages(one, CLIENTS, seconds)
    cpu_s = one.cpu_s() - before_s
    figures = {
        "per_s": round(taken["messages"] / taken["seconds"]),
        "p50_ms": round(taken["p50_us"] / 1e3, 3),
        "p99_ms": round(taken["p99_us"] / 1e3, 3),
    }
    if one.process is not None:
        figures["cpu_us"] = round(cpu_s / (taken["messages"] + taken["warm_up"]) * 1e6, 1)
    return figures


def messages(one: Started, clients: int, seconds: float) -> dict[str, float]:
    arguments = [str(one.port), PATH, str(clients), str(seconds)]
    return run_client("bench.load.tunnel", arguments, quaymaster.user_headers(), seconds)
