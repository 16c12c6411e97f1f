"""A small GET through each gateway, and through Quaymaster with its features on and off."""

from dataclasses import replace

from bench import quaymaster
from bench.contest import contestants, features_off, features_on, how, under_load
from bench.instances import SMALL
from bench.load.wrk import Work
from bench.peers import PEERS, load_peer
from bench.report import Goal, Options, Report

GOALS = (
    (quaymaster.ON, "envoy", 1.0),
    (quaymaster.ON, "caddy", 1.4),
    (quaymaster.ON, "aiohttp", 3.0),
    (quaymaster.ON, "fastapi", 40.0),
    (quaymaster.OFF, "envoy", 1.3),
)


def measure(options: Options) -> Report:
    work = Work(SMALL, headers=quaymaster.user_headers())
    taken = under_load(
        [features_on(options), features_off(options), *contestants(list(PEERS), options)], work, options
    )
    report = Report(
        measurement="get",
        title="Forward a small GET (95 bytes of JSON, 32 keep-alive connections)",
        rows=taken.rows(),
        notes=(
            *how(),
            "features on: token verified, rate limit, request id, metrics, JSON access log into a file",
            "features off: a public route, no limits, no access log; request ids and metrics stay",
        ),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
        ours=(quaymaster.ON, quaymaster.OFF),
        compare="per_s",
    )
    return with_goals(report)


def with_goals(report: Report) -> Report:
    """The report with its goals judged by its own rows."""
    goals = []
    for ours, name, bound in GOALS:
        title = load_peer(name).title
        goals.append(Goal(f"{ours} / {title}", report.ratio(ours, title), "at least", bound))
    return replace(report, goals=tuple(goals))
