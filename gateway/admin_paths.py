"""What stands below `/admin/handlers/`: a handler, its drain, or a decision."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

PREFIX = "/admin/handlers/"

_DECISION = re.compile(r"decisions/([0-9]{1,15})")
_HANDLER = re.compile(r"([^/]+)(/drain)?")


@dataclass(frozen=True, slots=True)
class OneHandler:
    id: str


@dataclass(frozen=True, slots=True)
class OneDrain:
    id: str


@dataclass(frozen=True, slots=True)
class OneDecision:
    sequence: int


def read_admin_path(path: str) -> OneHandler | OneDrain | OneDecision | None:
    """What a raw path that begins with `PREFIX` is about, `None` for nothing of ours."""
    rest = path.removeprefix(PREFIX)
    if (decision := _DECISION.fullmatch(rest)) is not None:
        return OneDecision(int(decision[1]))
    handler = _HANDLER.fullmatch(rest)
    if handler is None:
        return None
    name = unquote(handler[1])
    return OneHandler(name) if handler[2] is None else OneDrain(name)
