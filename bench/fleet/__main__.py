"""The command `python -m bench.fleet`."""

import argparse
import logging
import math
import sys
from collections.abc import Callable

import structlog

from bench.calls import Refused
from bench.fleet import acts
from bench.fleet.acts import NeverCameTrue
from bench.fleet.figures import Act, verdict
from bench.fleet.stage import Cast, Stage, stage
from bench.processes import DidNotStart

ACTS = ("kill", "drain", "redis")
ROOM = 1.1
"""How much room the handlers have that are left at the end, in clients."""


def main() -> int:
    """Exit code 1 when something did not hold."""
    given = parse()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    capacity = math.ceil(ROOM * given.clients / (given.handlers - 2))
    cast = Cast(given.clients, given.handlers, capacity, given.every, given.redis_timeout)
    played: list[Act] = []
    try:
        with stage(cast) as on:
            for play in programme(given, on):
                played.append(play())
                print(played[-1].text(timed=given.timed), flush=True)
    except (NeverCameTrue, DidNotStart, Refused, OSError) as problem:
        print(f"  NEVER CAME TRUE  {problem}")
        return 1
    print(verdict(played, timed=given.timed))
    return 0 if all(act.met(timed=given.timed) for act in played) else 1


def programme(given: argparse.Namespace, on: Stage) -> list[Callable[[], Act]]:
    """The wanted acts between everybody's coming and the last count."""
    middle = {
        "kill": lambda: acts.kill(on),
        "drain": lambda: acts.drain(on, given.drain),
        "redis": lambda: acts.redis_away(on, given.away, given.churn),
    }
    wanted = [middle[name] for name in given.acts]
    return [lambda: acts.ramp(on, given.pace), *wanted, lambda: acts.last_words(on)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--handlers", type=int, default=10, help="one is killed, one drained (default 10)")
    parser.add_argument("--pace", type=float, default=100.0, help="clients that come a second (default 100)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between what a client says")
    parser.add_argument("--drain", type=float, default=30.0, help="the deadline of the drain, in seconds")
    parser.add_argument("--away", type=float, default=10.0, help="seconds without Redis")
    parser.add_argument("--churn", type=float, default=20.0, help="clients that leave and come a second then")
    parser.add_argument(
        "--redis-timeout",
        type=float,
        help="seconds that gateways wait for Redis; as it comes they wait 0.1 s, and hand out by estimates "
        "when that is over, which with more processes than cores is soon",
    )
    parser.add_argument("--acts", nargs="*", choices=ACTS, default=ACTS, help="default: all, in this order")
    parser.add_argument("--untimed", dest="timed", action="store_false", help="show times, judge only counts")
    given = parser.parse_args()
    if given.handlers < 3 or given.clients < given.handlers:
        parser.error("--handlers must be at least 3, and --clients at least as many")
    return given


if __name__ == "__main__":
    sys.exit(main())
