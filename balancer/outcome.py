"""How a try ended: in which phase, on whose side, what kind, and whether a byte had been sent.

This is all that retries, cool-downs and blame are decided on. The phases are in the order in which
a call goes through them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    CONNECT = "connect"
    SEND = "send"
    WAIT = "wait"
    """The request is out, the first byte of the answer is not in."""
    BODY = "body"
    DONE = "done"


class Side(StrEnum):
    INSTANCE = "instance"
    CLIENT = "client"
    GATEWAY = "gateway"


class Kind(StrEnum):
    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    RESET = "reset"
    """The connection ended before the message did."""
    GARBAGE = "garbage"
    """Bytes that are not HTTP."""
    CANCELLED = "cancelled"
    SATURATED = "saturated"
    """All connections that the instance is allowed are in use."""


@dataclass(frozen=True, slots=True)
class Outcome:
    phase: Phase
    side: Side
    kind: Kind
    sent: bool
    """Whether any byte of the request may have reached the instance. When in doubt: True."""
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.kind is Kind.OK

    @property
    def blames_instance(self) -> bool:
        """A client that hangs up says nothing about the instance."""
        return self.side is Side.INSTANCE and not self.ok

    @property
    def label(self) -> str:
        """`connect_refused`, `wait_timeout`, …: the metric label and the error's reason."""
        return f"{self.phase}_{self.kind}"

    def __str__(self) -> str:
        return f"{self.label} ({self.detail})" if self.detail else self.label


SUCCESS = Outcome(Phase.DONE, Side.INSTANCE, Kind.OK, sent=True)
