"""A small GET through each gateway, and through Quaymaster with its features on and off."""

from bench import quaymaster
from bench.contest import contestants, features_off, features_on, under_load
from bench.forwarding import forwarding_report
from bench.load.wrk import Work
from bench.paths import SMALL
from bench.peers import PEERS
from bench.report import Options, Report

GOALS = (
    (quaymaster.ON, "envoy", 1.0),
    (quaymaster.ON, "caddy", 1.4),
    (quaymaster.ON, "aiohttp", 3.0),
    (quaymaster.ON, "fastapi", 40.0),
    (quaymaster.OFF, "envoy", 1.3),
)


def measure(options: Options) -> Report:
    work = Work(SMALL, headers=quaymaster.user_headers())
    entries = [features_on(options), features_off(options), *contestants(list(PEERS), options)]
    return forwarding_report(
        "get",
        "Forward a small GET (95 bytes of JSON)",
        under_load(entries, work, options),
        compare="per_s",
        goals=[goal for goal in GOALS if options.peers is None or goal[1] in options.peers],
    )
