"""The machine a measurement was taken on, and the cores its processes are given."""

import os
import platform
from pathlib import Path

_USABLE = sorted(os.sched_getaffinity(0))
CORES = len(_USABLE)
LOAD_CORE = _USABLE[0]
"""Of the load generator and the instances."""
GATEWAY_CORE = _USABLE[min(1, CORES - 1)]
"""Of the gateway alone, where there is a second core."""


def machine() -> dict[str, str | int]:
    """What a reader needs to compare figures; nothing that names this machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    return {
        "cpu": model,
        "cores": CORES,
        "load": round(os.getloadavg()[0]),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }
