"""Processes that are measured: real ones."""

import os
import sys
import time
from pathlib import Path

import pytest

from bench.machine import LOAD_CORE
from bench.processes import DidNotStart, Launch, running, until

BUSY = (
    "import time\n"
    "end = time.process_time() + 0.05\n"
    "while time.process_time() < end: pass\n"
    "print('done', flush=True)\n"
    "time.sleep(60)"
)
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)"
)


def python(code: str) -> Launch:
    return Launch((sys.executable, "-c", code))


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has waited for yet is no running process.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_its_time_and_memory_are_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(python(BUSY), LOAD_CORE, tmp_path / "log", out=out) as process:
        until(lambda: "done" in text(out), process)
        assert process.cpu_s() >= 0.05
        assert process.rss_bytes() > 1_000_000
        assert os.sched_getaffinity(process.popen.pid) == {LOAD_CORE}
    assert process.popen.returncode is not None
    assert process.cpu_s() == 0.0, "nothing is left of it"


def test_its_children_end_with_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(python(PARENT), None, tmp_path / "log", out=out) as process:
        until(lambda: text(out).endswith("\n"), process)
        child = int(text(out))
        assert is_running(child)
    deadline = time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    launch = python("import sys; sys.exit('port 80 is in use')")
    with (
        running(launch, None, tmp_path / "log") as process,
        pytest.raises(DidNotStart, match="ended with 1: port 80 is in use"),
    ):
        until(lambda: False, process)


def test_one_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with (
        running(python("import time; time.sleep(60)"), None, tmp_path / "log") as process,
        pytest.raises(DidNotStart, match="not ready"),
    ):
        until(lambda: False, process, timeout_s=0.1)
