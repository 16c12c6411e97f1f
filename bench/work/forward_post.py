"""A POST of 1 KiB through each gateway."""

from bench import quaymaster
from bench.contest import contestants, features_on, under_load
from bench.forwarding import forwarding_report
from bench.load.wrk import Work
from bench.paths import SMALL
from bench.report import Options, Report

PEERS_TAKEN = ("nginx", "haproxy", "envoy", "aiohttp")


def measure(options: Options) -> Report:
    work = Work(SMALL, method="POST", body_bytes=1024, headers=quaymaster.user_headers())
    entries = [features_on(options), *contestants(PEERS_TAKEN, options)]
    taken = under_load(entries, work, options)
    return forwarding_report("post", "Forward a POST of 1 KiB", taken, compare="per_s")
