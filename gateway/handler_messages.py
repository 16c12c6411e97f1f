"""The JSON that handler processes send (ALLOCATION 2.10), bounded in every direction.

Unknown fields are ignored, so that a newer SDK can talk to an older gateway. Numbers are numbers: a
handler that sends "12" has a bug that would hide another one.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from handlers.model import DrainOrder, HandlerId, Hello, Jti, Move, Report, Uid

MAX_TICKETS = 4096
MAX_MOVES = 256
MAX_NAMED = 16
"""Handlers that one client may rule out; more are ignored."""
MAX_NAME = 200
"""Characters. The registry may call a handler what it likes, so more is not asked of a name."""
_HANDLER_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
_CLIENT_ID = re.compile(r"[!-~]{1,128}")
_SESSION_ID = r"^[0-9a-f]{32}$"

_Id = Annotated[str, Field(pattern=_HANDLER_ID)]
_Ticket = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
_Tickets = Annotated[tuple[_Ticket, ...], Field(max_length=MAX_TICKETS, strict=False)]
_Epoch = Annotated[int, Field(ge=1, le=2**53)]
_Count = Annotated[int, Field(ge=0, le=10**7)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _OfAHandler(_Message):
    handler_id: _Id
    pool: Annotated[str, Field(max_length=128)] | None = None
    """Of the gateway's pools; the only one if none is named."""


class HelloMessage(_OfAHandler):
    epoch: _Epoch
    url: Annotated[str, Field(max_length=2048)]
    path: Annotated[str, Field(max_length=1024)] = "/ws"
    capacity: Annotated[int, Field(ge=1, le=10**6)]
    weight: Annotated[int, Field(ge=1, le=10**4)] = 1
    connections: _Count = 0
    known: _Tickets = ()

    def hello(self) -> Hello:
        return Hello(
            id=HandlerId(self.handler_id),
            epoch=self.epoch,
            url=self.url,
            path=self.path,
            capacity=self.capacity,
            weight=self.weight,
            known=tuple(map(Jti, self.known)),
            connections=self.connections,
        )


class MoveMessage(_Message):
    uid: Annotated[str, Field(min_length=1, max_length=255)]
    session_id: Annotated[str, Field(pattern=_SESSION_ID)]


def _none_if_bad(told: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(told)
    except ValidationError:
        return None


_Moves = Annotated[
    tuple[Annotated[MoveMessage | None, WrapValidator(_none_if_bad)], ...], Field(strict=False)
]
"""What a client is called is no fault of its handler, which would count as dead without its report."""


class ReportMessage(_OfAHandler):
    epoch: _Epoch
    seq: Annotated[int, Field(ge=0, le=2**53)]
    connections: _Count
    confirmed: _Tickets = ()
    closed: _Tickets = ()
    leaving: bool = False
    move: _Moves = ()
    """`None` for one that can't be read. Of more than `MAX_MOVES` the first count; a handler names the
    others again."""

    @property
    def unread_moves(self) -> int:
        return self.move.count(None)

    def report(self) -> Report:
        return Report(
            id=HandlerId(self.handler_id),
            epoch=self.epoch,
            seq=self.seq,
            connections=self.connections,
            confirmed=tuple(map(Jti, self.confirmed)),
            closed=tuple(map(Jti, self.closed)),
            leaving=self.leaving,
            move=tuple(Move(Uid(move.uid), move.session_id) for move in self.move if move)[:MAX_MOVES],
        )


class AdmitMessage(_OfAHandler):
    epoch: _Epoch
    jti: _Ticket


class DrainMessage(_Message):
    """What an operator wants: everybody gone by then, at most so many a second."""

    deadline_s: Annotated[float, Field(gt=0, le=86_400)]
    rate: Annotated[float, Field(gt=0, le=10**6)] | None = None

    def order(self) -> DrainOrder:
        return DrainOrder(self.deadline_s, self.rate)


def client_id_problem(text: str) -> str | None:
    """Why an `X-Client-Id` can't be used, `None` if it can."""
    if _CLIENT_ID.fullmatch(text):
        return None
    return "X-Client-Id must be 1 to 128 visible ASCII characters."


def session_id_problem(text: str) -> str | None:
    """Why an `X-Session-Id` can't be one that we have given out, `None` if it can."""
    if re.fullmatch(_SESSION_ID, text):
        return None
    return "X-Session-Id must be a session_id of an earlier answer: 32 hexadecimal digits in lower case."


def handler_names(headers: Iterable[str]) -> tuple[str, ...]:
    """The handlers that are named in these headers, separated by commas.

    What can't be a name is left out, such as bytes that are no UTF-8: it would be shown to operators.
    """
    parts = (part.strip(" \t") for header in headers for part in header.split(",", MAX_NAMED)[:MAX_NAMED])
    names = (name for name in parts if 0 < len(name) <= MAX_NAME and name.isprintable())
    return tuple(islice(names, MAX_NAMED))
