"""Where the peers' programs are: below `.servers/peers/`, or on the system's path."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".servers" / "peers"
"""Where scripts/peers.sh puts them."""
FOLDERS = (PEERS / "bin", PEERS / "venv" / "bin", ROOT / ".servers" / "bin")
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where Debian puts servers, and an ordinary user's PATH does not look."""


class NotInstalled(Exception):
    """A program that is needed is not here. The text says how to get it."""


def find_program(name: str) -> str:
    """The full path of a program. Raises `NotInstalled`."""
    for folder in FOLDERS:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)
    if found is None:
        raise NotInstalled(f"no {name}: run `sh scripts/peers.sh`, or put it on PATH")
    return found


def peers_python() -> str:
    """The interpreter of the venv of the Python peers. Raises `NotInstalled`."""
    python = PEERS / "venv" / "bin" / "python"
    if not python.exists():
        raise NotInstalled("no venv of peers: run `sh scripts/peers.sh`")
    return str(python)


def said_by(argv: list[str]) -> str:
    """The first line a command prints, on either stream: how servers tell their version."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    return (ran.stdout or ran.stderr).strip().partition("\n")[0].strip()


def peers_version(package: str) -> str:
    """The version of a package in the peers' venv."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return said_by([peers_python(), "-c", code])
