"""Processes that are measured: started on one core, watched in /proc, ended by their own ids."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bench.programs import ROOT, find_program

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STOP_S = 5.0
"""How long a process may take to end before it is killed."""
TAIL_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, what its environment has on top of ours, and the folder it starts in."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT


class DidNotStart(Exception):
    """A process ended, or did not answer, before it was ready. The text ends with its last words."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process and its children, which are measured together."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def cpu_s(self) -> float:
        """User and system time so far, in seconds."""
        return sum(_cpu_ticks(pid) for pid in self._pids()) / TICKS_PER_S

    def rss_bytes(self) -> int:
        """What is resident; pages that a master shares with its workers count for each."""
        return sum(_rss_pages(pid) for pid in self._pids()) * PAGE_BYTES

    def check(self) -> None:
        """Raises `DidNotStart` when the process has ended."""
        if self.popen.poll() is not None:
            raise DidNotStart(f"ended with {self.popen.returncode}: {self.last_words()}")

    def give_up(self, problem: str) -> NoReturn:
        """Raises `DidNotStart` with that problem and the process's last words."""
        raise DidNotStart(f"{problem}: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _pids(self) -> list[int]:
        return [self.popen.pid, *_children(self.popen.pid)]


@contextmanager
def running(launch: Launch, core: int | None, log: Path, *, out: Path | None = None) -> Iterator[Process]:
    """The process while the block runs, pinned to `core`; its stderr goes to `log`, its stdout to `out`."""
    pinned = [] if core is None else [find_program("taskset"), "-c", str(core)]
    with log.open("wb") as stderr, (out or log).open("ab") as stdout:
        popen = subprocess.Popen(
            [*pinned, *launch.argv],
            cwd=launch.cwd,
            env={**os.environ, **launch.env},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield Process(popen, log)
    finally:
        stop(popen)


def stop(popen: "subprocess.Popen[bytes]") -> None:
    """Asks it to end, then ends it and its children: they are a session of their own."""
    if popen.poll() is None:
        popen.terminate()
        try:
            popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
    # A worker may outlive the master that was asked to end.
    try:
        os.killpg(popen.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    popen.wait()


def until(ready: Callable[[], bool], process: Process, timeout_s: float = 20.0) -> None:
    """Returns once `ready()` is true. Raises `DidNotStart` when the process ends, or time does."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        process.check()
        if time.monotonic() > deadline:
            process.give_up(f"not ready after {timeout_s:g} s")
        time.sleep(0.02)


def _stat(pid: int) -> Sequence[str]:
    """The fields of /proc/pid/stat behind the name, which may hold spaces; none when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return text.rpartition(")")[2].split()


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _rss_pages(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[21]) if fields else 0


def _children(pid: int) -> list[int]:
    """All below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
