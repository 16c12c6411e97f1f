"""The command `python -m bench`."""

import argparse
import asyncio
import logging
import sys

import pytest
import structlog

from bench import MEASUREMENTS, load_measurement
from bench.report import Options, Report, save, table


async def run(name: str, options: Options) -> Report:
    return await load_measurement(name)(options)


def main() -> int:
    """Exit code 1 when a goal was missed, so that a script can tell."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measurements; see bench/__init__.py"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(MEASUREMENTS)}")
    parser.add_argument(
        "--rounds", type=int, default=Options().rounds, help="of each case (default: %(default)s)"
    )
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(MEASUREMENTS)):
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    # What a server logs at each change would be measured too, and hide the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    reached = True
    for name in given.names or MEASUREMENTS:
        try:
            report = asyncio.run(run(name, Options(rounds=given.rounds)))
        except pytest.skip.Exception as missing:
            sys.exit(f"{name}: {missing}")
        print(table(report))
        print(f"written to bench/results/{save(report).name}\n")
        reached = reached and report.reached
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
