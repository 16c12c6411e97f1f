"""What clients say over their WebSocket: JSON texts, read here and nowhere else.

A client sends `{"type": "message", "to": uid, "text": …, "id": …}`. `hello`, `typing` and `bye` go the
same way without a text. Everything with an `id` is answered, by `delivered`, `kept` or `undelivered`.

A message reaches its recipient with a `seq`, which counts all that this recipient is written, without a
gap. Who comes back with `?seq=` gets what came after it. Who sends a message again with the same `id`,
because no answer came, sends it once.

Rules of this file: no socket; whatever comes in, the answer is a `Frame` or a `BadFrame`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

LONGEST_TEXT = 2000
"""Characters. The page's text box has the same limit."""
LONGEST_ID = 64
LARGEST_FRAME = 16 * 1024
"""Bytes: the longest text with every character escaped is 12,000."""


class Kind(StrEnum):
    MESSAGE = "message"
    HELLO = "hello"
    TYPING = "typing"
    BYE = "bye"


class Reason(StrEnum):
    """Why something was not delivered."""

    NOT_MATCHED = "not_matched"
    """The two are not, or no longer, each other's match."""
    OFFLINE = "offline"
    HANDLER_UNREACHABLE = "handler_unreachable"
    """The recipient's handler does not answer: perhaps delivered, perhaps not."""
    UNAVAILABLE = "unavailable"
    """Nobody can say at the moment whom the two are matched with, or where the recipient is."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    to: str
    id: str | None = None
    text: str | None = None

    def passed_on(self, sender: str, handler: str, seq: int | None = None) -> dict[str, str | int]:
        """What the recipient gets: from whom, and through which handler the sender is connected."""
        passed: dict[str, str | int] = {"type": self.kind.value, "from": sender, "handler": handler}
        if seq is not None:
            passed["seq"] = seq
        if self.id is not None:
            passed["id"] = self.id
        if self.text is not None:
            passed["text"] = self.text
        return passed


@dataclass(frozen=True, slots=True)
class BadFrame:
    problem: str

    def answer(self) -> dict[str, str]:
        return {"type": "error", "reason": "bad_frame", "message": self.problem}


@dataclass(frozen=True, slots=True)
class Delivered:
    """Handed to the recipient's connection, at that handler."""

    handler: str

    def answer(self, id: str) -> dict[str, str]:
        return {"type": "delivered", "id": id, "handler": self.handler}


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that its recipient gets when it is connected again."""

    reason: Reason

    def answer(self, id: str) -> dict[str, str]:
        return {"type": "kept", "id": id, "reason": self.reason.value}


@dataclass(frozen=True, slots=True)
class NotHere:
    """A handler doesn't have the user: it was sent nowhere, so it may be sent elsewhere."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it is kept for its recipient."""

    seq: int
    sender: str
    id: str
    text: str

    def frame(self) -> dict[str, str | int]:
        """What its recipient gets later. Through which handler the sender was connected says nothing then."""
        return {
            "type": Kind.MESSAGE.value,
            "from": self.sender,
            "seq": self.seq,
            "id": self.id,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Missed:
    """What was written to somebody after a number. `last` is the number up to which this tells all."""

    letters: tuple[Letter, ...]
    last: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Undelivered:
    reason: Reason

    def answer(self, id: str) -> dict[str, str]:
        return {"type": "undelivered", "id": id, "reason": self.reason.value}


def read_frame(text: str) -> Frame | BadFrame:
    """One text message of a client."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return BadFrame("not valid JSON")
    if not isinstance(body, dict):
        return BadFrame("must be a JSON object")
    if body.get("type") not in [kind.value for kind in Kind]:
        return BadFrame(f"type: must be one of {', '.join(Kind)}")
    kind = Kind(body["type"])
    needed = [("to", LONGEST_ID)]
    if kind is Kind.MESSAGE:
        needed += [("id", LONGEST_ID), ("text", LONGEST_TEXT)]
    elif "id" in body:
        needed += [("id", LONGEST_ID)]
    for field, longest in needed:
        if problem := _problem(body.get(field), longest):
            return BadFrame(f"{field}: {problem}")
    return Frame(kind, body["to"], body.get("id"), body["text"] if kind is Kind.MESSAGE else None)


def _problem(value: Any, longest: int) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    return None if 1 <= len(value) <= longest else f"must have 1 to {longest} characters"
