"""Processes that a row starts, hurts and ends: each by its own id, each wait with a deadline."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.processes import PAGE_BYTES, TICKS_PER_S
from tests.servers import ROOT

END_S = 20.0
OURS = ("JWT_SECRET", "INTERNAL_KEY", "HANDLER_SECRET", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN")
"""Of this machine's environment; no process of a row gets them."""


class Child:
    """One process, which may be started again after it has ended. What it says goes to `log`."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._popen: subprocess.Popen[bytes] | None = None

    def start(
        self, env: Mapping[str, str] | None = None, stdout: int | None = None, pass_fds: Sequence[int] = ()
    ) -> None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in OURS and not name.startswith("QUAYMASTER__")
        }
        with self.log.open("ab") as said:
            self._popen = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env={**inherited, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=said if stdout is None else stdout,
                stderr=said,
                pass_fds=pass_fds,
            )

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    def send(self, number: signal.Signals) -> None:
        assert self._popen is not None, f"{self.name} was not started"
        self._popen.send_signal(number)

    async def ended(self, within_s: float = END_S) -> int:
        """Its exit status, once it has one. Raises `subprocess.TimeoutExpired`."""
        assert self._popen is not None, f"{self.name} was not started"
        return await asyncio.to_thread(self._popen.wait, within_s)

    async def kill(self) -> None:
        """kill -9, which a stopped process follows too."""
        if self.running:
            self.send(signal.SIGKILL)
            await self.ended()

    def kill_now(self) -> None:
        """The same, blocking: for the end of a run."""
        if self.running:
            self.send(signal.SIGKILL)
            assert self._popen is not None
            self._popen.wait(END_S)

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.send(signal.SIGTERM)
        return await self.ended()

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, the kernel goes on taking connections, and nobody answers."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def last_words(self) -> str:
        return self.log.read_bytes()[-2000:].decode(errors="replace") if self.log.exists() else ""
