"""What happened, for whoever wants to know: one JSON line in the log each.

The example that uses this names topics and events as its Kafka has them.
"""

import sys
from typing import BinaryIO

import orjson

from examples.chat.service import Clock
from examples.standins.service import timestamp


class Events:
    """Writes `{"topic", "event", "timestamp", …}` lines; to standard output if nothing else is given."""

    def __init__(self, clock: Clock, out: BinaryIO | None = None) -> None:
        self._clock = clock
        self._out = out or sys.stdout.buffer

    def tell(self, topic: str, event: str, **facts: str) -> None:
        line = {"topic": topic, "event": event, "timestamp": timestamp(self._clock()), **facts}
        self._out.write(orjson.dumps(line) + b"\n")
        self._out.flush()
