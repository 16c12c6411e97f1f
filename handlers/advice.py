"""When a client should come back after its connection is lost.

Clients hold this before anything breaks, so it works for a handler that dies without a word: they
come back spread over the time that the rest of the fleet needs to take them in (ALLOCATION 2.7).
"""

from dataclasses import dataclass, field
from functools import lru_cache

import orjson

FIRST_MIN_S, FIRST_MAX_S = 1.0, 60.0
"""Under a second is no spreading; over a minute no user waits."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The first try after a uniformly random time in `first_s`; then full jitter over a doubling base."""

    first_s: float
    base_s: float = 1.0
    cap_s: float = 30.0
    json: str = field(init=False, repr=False, compare=False)
    """`body`: every seat comes with one, and most with the same."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "json", orjson.dumps(self.body()).decode())

    def body(self) -> dict[str, object]:
        """As clients get it, in milliseconds."""
        return {
            "first_ms": [0, round(self.first_s * 1000)],
            "base_ms": round(self.base_s * 1000),
            "cap_ms": round(self.cap_s * 1000),
            "jitter": "full",
        }


@lru_cache(maxsize=4096)
def advise(connections: int, accepts_per_s: float) -> Advice:
    """For the clients of a handler with that many connections, when so many per second are taken in
    elsewhere.

    Remembered: handlers fill up about evenly.
    """
    return Advice(first_s=min(FIRST_MAX_S, max(FIRST_MIN_S, connections / accepts_per_s)))
