"""For a process whose wall clock is to jump: what the file that JUMPING_CLOCK names says is added to it.

Python loads this by its name when this folder is in PYTHONPATH. The monotonic clock stays as it is.
"""

import os
import time
from pathlib import Path

_file = Path(os.environ["JUMPING_CLOCK"])
_true_time, _true_time_ns = time.time, time.time_ns  # noqa: TID251  it is what this file is about


def _time() -> float:
    return _true_time() + float(_file.read_text() or 0)


def _time_ns() -> int:
    return _true_time_ns() + int(float(_file.read_text() or 0) * 1e9)


time.time = _time  # noqa: TID251  as above
time.time_ns = _time_ns
