"""A small GET through everything that the front door does, beside plain forwarding and Envoy's.

The same bytes are sent to all: a token with roles, scopes and a tier, and the origin of a page.
"""

from bench import quaymaster
from bench.contest import contestants, features_all, features_off, features_on, how, under_load
from bench.load.wrk import Work
from bench.paths import SMALL
from bench.peers import load_peer
from bench.report import Goal, Options, Report

OF_PLAIN = 0.5
OF_ENVOY = 1.0


def measure(options: Options) -> Report:
    work = Work(SMALL, headers=quaymaster.browser_headers())
    entries = [features_all(options), features_on(options), features_off(options)]
    taken = under_load([*entries, *contestants(["envoy"], options)], work, options)
    envoy = load_peer("envoy").title
    found = Report(
        measurement="front-door",
        title="Forward a small GET (95 bytes of JSON) with all of the front door on",
        rows=taken.rows(),
        notes=(
            *how(),
            "32 keep-alive connections; CPU is the gateway's user and system time, divided by the requests",
            "all: HS256 token, a role and a scope asked for, limits of its user and its address in memory,"
            " CORS, allowed hosts, two claims as headers, request ids, metrics, JSON access log into a file",
            "Envoy forwards, and nothing else",
        ),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
        ours=(quaymaster.ALL, quaymaster.ON, quaymaster.OFF),
        compare="per_s",
    )
    return found.judged(
        Goal("all / features off", found.ratio(quaymaster.ALL, quaymaster.OFF), "at least", OF_PLAIN),
        Goal(f"all / {envoy}", found.ratio(quaymaster.ALL, envoy), "at least", OF_ENVOY),
    )
