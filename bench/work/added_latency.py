"""What each gateway adds to the time of a small GET, at a rate it is comfortable with.

The same rate for all, half of what Quaymaster with its features on can do in this run, started in an open
loop (bench/load/open_loop.py). The row without a gateway asks an instance directly; what the others have on
top of it is what they add.
"""

from bench import quaymaster
from bench.contest import Contest, Started, answers, contest, contestants, features_on, how, take_turns
from bench.load import wrk
from bench.load.client import run_client
from bench.load.wrk import Work
from bench.paths import SMALL
from bench.report import Options, Report, Row

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "caddy")
SHARE = 0.5
CEILING_PER_S = 8_000
"""The client is one Python thread beside the instances: above that it would measure itself."""
DIRECT = "no gateway"


def measure(options: Options) -> Report:
    entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
    with contest(entries, answers(SMALL)) as taken:
        per_s = rate(taken, options)
        taken.started.append(Started(DIRECT, taken.instances.ports[0], None, ours=False))
        take_turns(taken, lambda one: turn(one, per_s, options.seconds), options)
    return Report(
        measurement="latency",
        title=f"Added latency at {per_s:,} requests/s",
        rows=with_added(taken.rows()),
        notes=(
            *how(),
            f"the rate is half of what {quaymaster.ON} can do, at most {CEILING_PER_S:,}/s",
            "open loop, Poisson starts, 64 connections; a time counts from when the request was due",
        ),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
    )


def rate(taken: Contest, options: Options) -> int:
    """Requests a second, in whole hundreds."""
    ours = next(one for one in taken.started if one.ours)
    most = wrk.run(Work(SMALL, headers=quaymaster.user_headers()), ours.port, options.seconds).per_s
    return max(100, min(CEILING_PER_S, int(most * SHARE) // 100 * 100))


def turn(one: Started, per_s: int, seconds: float) -> dict[str, float]:
    arguments = [str(one.port), SMALL, str(per_s), str(seconds)]
    taken = run_client("bench.load.open_loop", arguments, quaymaster.user_headers(), seconds)
    return {
        name: round(taken[f"{share}_us"] / 1e3, 3) for name, share in (("p50_ms", "p50"), ("p99_ms", "p99"))
    }


def with_added(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows, each with what it has on top of the direct one, where there is one."""
    direct = next((row.figures for row in rows if row.case == DIRECT), None)
    if direct is None:
        return rows
    return tuple(Row(row.case, row.figures | added(row.figures, direct)) for row in rows)


def added(figures: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    return {f"added_{name}": round(figures[name] - value, 3) for name, value in direct.items()}
