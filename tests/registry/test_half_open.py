"""A long poll whose connection stays while its packets vanish: nobody says a word, and nothing ends."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.servers import ROOT, find_program


def test_an_agent_whose_packets_vanish_is_left_and_returned_to() -> None:
    find_program("consul")
    missing = [name for name in ("unshare", "nsenter", "ip", "tc") if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"no {', '.join(missing)}: packets are dropped in network namespaces (util-linux, iproute2)"
        )
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make network namespaces, in which packets are dropped: run it as root")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.registry.half_open"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["moves"] == 1
