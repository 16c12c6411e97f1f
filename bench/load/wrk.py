"""wrk as the load generator: a closed loop of keep-alive connections on one thread."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import LOAD_CORE
from bench.programs import find_program, said_by

FOLDER = Path(__file__).parent
PATIENCE_S = 30.0
"""Beyond its own time, before wrk counts as hung."""


@dataclass(frozen=True, slots=True)
class Work:
    """The request that is sent again and again, and by how many connections."""

    path: str
    method: str = "GET"
    body_bytes: int = 0
    connections: int = 32
    headers: Mapping[str, str] = field(default_factory=dict)
    script: str = "wrk.lua"
    arguments: tuple[str, ...] = ()
    """Of the script; empty: the method and the size of the body."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What wrk counted in one run."""

    requests: int
    seconds: float
    received: int
    """Bytes."""
    p50_ms: float
    p99_ms: float
    bad: int
    """Answers that are not 2xx or 3xx, and connections that broke."""

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def command(work: Work, port: int, seconds: float) -> list[str]:
    """The arguments of wrk for one run."""
    headers = [part for name, value in work.headers.items() for part in ("-H", f"{name}: {value}")]
    return [
        *("-t1", f"-c{work.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", *headers),
        *("-s", str(FOLDER / work.script), f"http://127.0.0.1:{port}{work.path}", "--"),
        *(work.arguments or (work.method, str(work.body_bytes))),
    ]


def parse(text: str) -> Taken:
    """The figures that the Lua script printed. Raises `ValueError` when they are not there."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError(f"wrk printed no figures: {text.strip()[-200:]!r}")
    said = json.loads(lines[-1])
    return Taken(
        requests=said["requests"],
        seconds=said["duration_us"] / 1e6,
        received=said["bytes"],
        p50_ms=said["p50_us"] / 1e3,
        p99_ms=said["p99_us"] / 1e3,
        bad=said["bad_status"] + said["broken"],
    )


def run(work: Work, port: int, seconds: float) -> Taken:
    """One run on the load core. Raises `NotInstalled`, or `ValueError` when wrk failed."""
    pinned = [find_program("taskset"), "-c", str(LOAD_CORE), find_program("wrk")]
    ran = subprocess.run(
        [*pinned, *command(work, port, seconds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + PATIENCE_S,
    )
    return parse(ran.stdout + ran.stderr)


def version() -> str:
    return said_by([find_program("wrk"), "-v"]).removeprefix("wrk ").partition(" [")[0]
