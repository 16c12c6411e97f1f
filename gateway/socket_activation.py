"""Which sockets a service manager has opened for a process: systemd's protocol, sd_listen_fds(3)."""

from collections.abc import Mapping
from dataclasses import dataclass

FIRST = 3
"""Descriptors 0 to 2 are the standard streams."""


@dataclass(frozen=True, slots=True)
class PassedSocket:
    descriptor: int
    name: str
    """`FileDescriptorName=` of the socket unit; empty if it has none."""


def passed_sockets(environment: Mapping[str, str], pid: int) -> tuple[PassedSocket, ...]:
    """Those for the process `pid`; none when there are none, or when they are another process's.

    Raises `ValueError` for variables that contradict each other.
    """
    if environment.get("LISTEN_PID") != str(pid):
        return ()
    said = environment.get("LISTEN_FDS", "")
    if not said.isdecimal() or not said.isascii():
        raise ValueError("LISTEN_PID is set, and LISTEN_FDS is no number of sockets")
    count = int(said)
    names = environment["LISTEN_FDNAMES"].split(":") if environment.get("LISTEN_FDNAMES") else [""] * count
    if len(names) != count:
        raise ValueError(f"LISTEN_FDNAMES holds {len(names)} names for {count} sockets")
    return tuple(PassedSocket(FIRST + number, name) for number, name in enumerate(names))
