"""The command `python -m bench`."""

import argparse
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from bench import MEASUREMENTS, load_measurement
from bench.machine import LOAD_CORE
from bench.peers import PEERS
from bench.processes import DidNotStart
from bench.programs import ROOT, NotInstalled
from bench.report import QUICK, Options
from bench.results import draw, load, save
from bench.tables import markdown_page, text_table


def main() -> int:
    """Exit code 1 when a goal was missed, so that a script can tell."""
    parser = new_parser()
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(MEASUREMENTS)):
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    if given.markdown:
        kept = load(given.names or MEASUREMENTS)
        if not kept:
            parser.error("no results are kept of that: measure first")
        print(markdown_page(kept))
        return 0
    options = read_options(given, parser)
    os.sched_setaffinity(0, {LOAD_CORE})
    # What our own code logs while it is measured in this process would be measured too, and hide the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    good = measure_all(given.names or list(MEASUREMENTS), options, keep=is_kept(given))
    if is_kept(given):
        print(f"the picture of all kept results: bench/results/{draw(load(MEASUREMENTS)).name}")
    return 0 if good else 1


def new_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measurements; see docs/performance.md"
    )
    known = ", ".join(MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {known}; default: all")
    parser.add_argument("--quick", action="store_true", help="a look of a few seconds; nothing is kept")
    parser.add_argument(
        "--markdown", action="store_true", help="print the kept results as Markdown; measure nothing"
    )
    parser.add_argument("--rounds", type=int, help=f"turns of each contestant (default {Options().rounds})")
    parser.add_argument("--seconds", type=float, help=f"of load in a turn (default {Options().seconds:g})")
    parser.add_argument(
        "--peers", metavar="A,B", help=f"only these, and nothing is kept; of: {', '.join(PEERS)}"
    )
    parser.add_argument(
        "--tree", type=Path, default=ROOT, help="where the gateway's source is, to compare two versions"
    )
    return parser


def read_options(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Options:
    options = QUICK if given.quick else Options()
    if given.rounds is not None:
        options = replace(options, rounds=given.rounds)
    if given.seconds is not None:
        options = replace(options, seconds=given.seconds)
    if not (given.tree / "gateway").is_dir():
        parser.error(f"--tree {given.tree}: there is no gateway/ in it")
    options = replace(options, tree=given.tree.resolve())
    if given.peers is not None:
        options = replace(options, peers=tuple(filter(None, given.peers.split(","))))
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    if unknown := sorted(set(options.peers or ()) - set(PEERS)):
        parser.error(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    return options


def is_kept(given: argparse.Namespace) -> bool:
    """A look, a part of the field, or another version must not take the place of a whole run."""
    return not given.quick and given.peers is None and given.tree == ROOT


def measure_all(names: list[str], options: Options, *, keep: bool) -> bool:
    """Prints each report, and keeps it; says whether no goal was missed."""
    good = True
    for name in names:
        try:
            report = load_measurement(name)(options)
        except (NotInstalled, pytest.skip.Exception) as missing:
            print(f"{name}: not measured: {missing}\n", flush=True)
            continue
        except DidNotStart as broken:
            print(f"{name}: {broken}\n", flush=True)
            good = False
            continue
        print(text_table(report))
        if keep:
            print(f"  written to bench/results/{save(report).name}")
        print(flush=True)
        good = good and not report.missed
    return good


if __name__ == "__main__":
    sys.exit(main())
