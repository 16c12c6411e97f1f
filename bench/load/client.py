"""Load clients of our own: modules that run on the load core and print their figures as one line of JSON."""

import json
import subprocess
import sys
from collections.abc import Mapping

from bench.machine import LOAD_CORE
from bench.programs import ROOT, find_program

PATIENCE_S = 40.0
"""Beyond its own time, before a client counts as hung."""


def run_client(
    module: str, arguments: list[str], headers: Mapping[str, str], seconds: float
) -> dict[str, float]:
    """Its figures. Raises `ValueError` with the reason when it gave up."""
    ran = subprocess.run(
        [
            *(find_program("taskset"), "-c", str(LOAD_CORE), sys.executable, "-m", module),
            *(*arguments, json.dumps(dict(headers))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + PATIENCE_S,
    )
    if ran.returncode:
        said = ran.stderr.strip().splitlines()
        raise ValueError(said[-1] if said else f"{module} ended with {ran.returncode}")
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures
