"""How a try ended: in which phase, on whose side, what kind, and whether a byte had been sent.

This is all that retries, cool-downs and blame are decided on. The phases are in the order in which
a call goes through them.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial


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

    # Derived once, at the beginning: every call ends with one of a few constants and is asked for these.
    ok: bool = field(init=False, repr=False, compare=False)
    blames_instance: bool = field(init=False, repr=False, compare=False)
    """A client that hangs up says nothing about the instance."""
    label: str = field(init=False, repr=False, compare=False)
    """`connect_refused`, `wait_timeout`, …: the metric label and the error's reason."""

    def __post_init__(self) -> None:
        derive = partial(object.__setattr__, self)
        derive("ok", self.kind is Kind.OK)
        derive("blames_instance", self.side is Side.INSTANCE and not self.ok)
        derive("label", f"{self.phase}_{self.kind}")

    def __str__(self) -> str:
        return f"{self.label} ({self.detail})" if self.detail else self.label


SUCCESS = Outcome(Phase.DONE, Side.INSTANCE, Kind.OK, sent=True)
OUT_OF_TIME = Outcome(Phase.CONNECT, Side.GATEWAY, Kind.TIMEOUT, sent=False)
"""Nothing is left of the call's time before anything was sent."""
OUTRUN = Outcome(Phase.WAIT, Side.GATEWAY, Kind.CANCELLED, sent=True)
"""Another try of the same call was answered first: nothing is known against the instance."""
