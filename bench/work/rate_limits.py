"""What counting costs: the same requests against the same two limits, in memory and in Redis.

Redis stands on the core of the load and of the instances, as it would on a machine of its own.
"""

from collections.abc import Callable
from typing import Any

from bench import quaymaster
from bench.contest import Contestant, how, under_load
from bench.load.wrk import Work
from bench.machine import LOAD_CORE
from bench.paths import SMALL
from bench.peers.base import Place
from bench.report import Goal, Options, Report
from tests.servers import redis_server

NONE = "no limits"
MEMORY = "two limits, in memory"
REDIS = "two limits, in Redis"
GOAL = 0.7


def measure(options: Options) -> Report:
    work = Work(SMALL, headers=quaymaster.user_headers())
    with redis_server() as url:
        stores: dict[str, dict[str, Any]] = {
            NONE: {"limits": {"per_address": None, "per_user": None}},
            MEMORY: {},
            REDIS: {"store": {"backend": "redis", "url": url}},
        }
        entries = [
            Contestant(title, quaymaster.launcher(settings(changed), options.tree))
            for title, changed in stores.items()
        ]
        taken = under_load(entries, work, options)
    found = Report(
        measurement="limits",
        title="Count a request against a user's limit and an address's (a small GET, forwarded)",
        rows=taken.rows(),
        notes=(
            *how(),
            f"Redis on core {LOAD_CORE}, with the load; calls of one turn of the loop share a pipeline",
            "token verified, request id, metrics, JSON access log into a file",
        ),
        programs=taken.programs,
        ours=(REDIS, MEMORY),
        compare="per_s",
    )
    return found.judged(Goal("Redis / memory", found.ratio(REDIS, MEMORY), "at least", GOAL))


def settings(changed: dict[str, Any]) -> Callable[[Place], dict[str, Any]]:
    def made(place: Place) -> dict[str, Any]:
        on = quaymaster.settings_on(place)
        more = {"requests": quaymaster.COUNTED_BUT_NEVER_REACHED, "per": "address"}
        return on | {"limits": on["limits"] | {"rules": [more]}} | changed

    return made
