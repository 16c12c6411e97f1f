"""The rules of Consul's blocking queries, which every client must keep or fail quietly.

From Consul's documentation, "Blocking Queries", implementation details:

* An index that goes backwards (the servers were restored, the agent restarted) is thrown away:
  asking with an old, higher index blocks the whole wait while the world changes.
* An index means something to the agent that gave it, and to no other: at another address the first
  question does not block.
* An index below one is taken as one, otherwise the loop spins.
* The loop is rate limited by a token bucket, because an answer is no guarantee of a change.
"""

from dataclasses import dataclass, replace

SLACK_S = 4.5
"""What the network and a busy agent may add before the client gives a query up: all together, with what it
takes to notice, an agent that hangs is left within five seconds after Consul's own limit."""

QUERIES_PER_S = 2.0
BURST = 2
"""Two changes in a row are seen at once; a service that churns costs two queries a second."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a watch stands: the index of its next query, `None` for "answer at once"."""

    index: int | None = None
    resets: int = 0
    """How often the index went backwards."""
    address: int = 0
    """Which of several agents gave the index."""

    def at(self, address: int) -> "Position":
        """The position for a query to that agent."""
        return self if address == self.address else Position(None, self.resets, address)

    def after(self, answered: int) -> "Position":
        """The position after an answer that carried this index."""
        answered = max(answered, 1)
        if self.index is not None and answered < self.index:
            return replace(self, index=None, resets=self.resets + 1)
        return replace(self, index=answered)

    def after_error(self) -> "Position":
        """After any error the next query must not block: the agent may have forgotten everything."""
        return replace(self, index=None)


def deadline_s(wait_s: float) -> float:
    """When the client gives up a query that may block for `wait_s`: Consul adds up to a sixteenth."""
    return wait_s + wait_s / 16 + SLACK_S


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Allows `burst` takes at once and `rate` a second in the long run."""

    rate: float = QUERIES_PER_S
    burst: int = BURST
    tokens: float = float(BURST)
    at: float = 0.0
    """When `tokens` was true; any clock that never goes back."""

    def take(self, now: float) -> tuple["TokenBucket", float]:
        """The bucket after one take, and how many seconds the taker must wait first."""
        filled = min(float(self.burst), self.tokens + max(0.0, now - self.at) * self.rate)
        left = filled - 1.0
        return replace(self, tokens=left, at=now), max(0.0, -left / self.rate)
