"""A request body of 1 MiB through each gateway, to an instance that reads all of it before it answers."""

from bench import quaymaster
from bench.contest import contestants, features_on, under_load
from bench.forwarding import forwarding_report
from bench.load.wrk import Work
from bench.paths import MIB_BYTES, SINK
from bench.report import Options, Report

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "aiohttp")
GOALS = ((quaymaster.ON, "nginx", 0.5),)


def measure(options: Options) -> Report:
    work = Work(SINK, method="POST", body_bytes=MIB_BYTES, headers=quaymaster.user_headers())
    entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
    taken = under_load(entries, work, options)
    return forwarding_report("up", "Forward 1 MiB up", taken, compare="mb_per_s", goals=GOALS)
