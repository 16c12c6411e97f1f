"""`python -m tests.faults [ROW …] [--quick]`: rows of the fault matrix at full length, and their table."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.machine import machine
from tests.faults.figure import Figure
from tests.faults.rig import stage
from tests.faults.rows import ROWS
from tests.faults.rows.base import Row


def table(done: Sequence[tuple[Row, Figure]]) -> str:
    """As it stands in docs/reliability.md."""
    lines = ["| row | fault | target | figure | held |", "|---|---|---|---|---|"]
    for row, shown in done:
        verdict = f"**missed**: {'; '.join(shown.missed)}" if shown.missed else "yes"
        lines.append(f"| {row.id} | {row.fault} | {row.target} | {shown.text()} | {verdict} |")
    return "\n".join(lines)


async def one(row: Row, folder: Path, *, full: bool) -> Figure:
    try:
        with stage(folder, full=full) as shared:
            return await row.run(shared)
    except Exception as error:  # noqa: BLE001  whatever a row dies of, the others are shown
        return Figure(row.id, missed=[f"could not be shown: {error!r}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join(ROWS)}; all if none is given")
    parser.add_argument("--quick", action="store_true", help="as short as the tests run them")
    given = parser.parse_args()
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"no row {' '.join(unknown)}; there are {' '.join(ROWS)}")
    done: list[tuple[Row, Figure]] = []
    for name in given.rows or ROWS:
        with tempfile.TemporaryDirectory(prefix="quaymaster-faults-") as folder:
            shown = asyncio.run(one(ROWS[name], Path(folder), full=not given.quick))
        done.append((ROWS[name], shown))
        sys.stdout.write(f"{shown.line()}\n")
        sys.stdout.flush()
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    sys.stdout.write(f"\n{table(done)}\n\nMachine: {facts}.\n")
    return 1 if any(shown.missed for _, shown in done) else 0


if __name__ == "__main__":
    sys.exit(main())
