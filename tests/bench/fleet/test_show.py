"""The show, small: real Redis, Consul, gateways, handlers and clients, each in processes of their own."""

import subprocess
import sys

from tests.servers import ROOT, find_program


def test_a_small_fleet_comes_through_what_happens_to_fleets() -> None:
    find_program("consul")  # skips, where there is none
    find_program("redis-server")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "bench.fleet", "--clients", "200", "--handlers", "3", "--untimed"),
            *("--pace", "100", "--every", "1", "--drain", "8", "--away", "2"),
            *("--redis-timeout", "1"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("Everything held.\n")
