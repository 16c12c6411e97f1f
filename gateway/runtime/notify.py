"""Tells the service manager how far a process is: sd_notify(3)."""

import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger()


def notify(state: str, environment: Mapping[str, str]) -> None:
    """Sends `READY=1`, `STOPPING=1` or the like, where a manager asked for it by `NOTIFY_SOCKET`.

    A manager that can't be told is logged: nothing else of a gateway depends on it.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)
            manager.sendto(state.encode(), address)
    except OSError as error:
        log.warning("notify_failed", state=state, detail=str(error))
