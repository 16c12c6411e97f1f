"""The endpoints that an example's seed lists, as a table, and the walk along it.

A `Line` says what the seed says (method, path, access) and what the example makes of it. Lines are walked in
the order of the table, so that what one has made the next can use: `{task_id}` stands for what a line before
has kept under that name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.examples.standins.running import Running
from tests.examples.standins.shapes import Shape, mismatch
from tests.gateway.runtime.gateways import RawAnswer

Access = Literal["public", "user", "internal"]

ERROR = {"error": str, "message": str, "timestamp": str}
"""What every error looks like, the gateway's and the services'."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a seed's list."""

    method: str
    path: str
    """As the seed writes it."""
    access: Access
    status: int = 200
    shape: Shape = ...
    """Of the answer's JSON."""
    body: Any = None
    who: str = "ada"
    """Whose token goes along, unless everybody may call."""
    target: str = ""
    """Where the request goes, if `path` is a pattern of many."""
    keep: Mapping[str, str] = field(default_factory=dict)
    """Values of the answer for later lines: name -> field."""
    headers: tuple[str, ...] = ()
    token: str = ""
    """Under which name the answer's access token is kept: lines after it may be asked with it."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Walk:
    """A running example whose list has been walked."""

    example: Running
    answers: dict[Line, RawAnswer]
    kept: dict[str, str]

    def target(self, line: Line) -> str:
        return str(filled(line.target or line.path, self.kept))

    def problem(self, line: Line) -> str | None:
        """What of the line's answer is not as the table says."""
        answer = self.answers[line]
        if answer.status != line.status:
            return f"{line}: {answer.status}, not {line.status}: {answer.body!r}"
        if line.shape is ... and not answer.body:
            return None
        return mismatch(line.shape, answer.json())


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Each `{name}` in texts replaced by its value; a name that nobody has kept is a mistake of the table."""
    if isinstance(template, str):
        for name, value in values.items():
            template = template.replace("{" + name + "}", value)
        assert "{" not in template, f"{template}: nobody has kept that"
        return template
    if isinstance(template, dict):
        return {name: filled(part, values) for name, part in template.items()}
    return [filled(part, values) for part in template] if isinstance(template, list) else template


async def walk(example: Running, lines: Sequence[Line], kept: Mapping[str, str] | None = None) -> Walk:
    """Asks for every line once, in order."""
    walked = Walk(example, {}, dict(kept or {}))
    for line in lines:
        answer = await example.ask(
            line.method,
            walked.target(line),
            *filled(list(line.headers), walked.kept),
            who=line.who if line.access == "user" else None,
            body=filled(line.body, walked.kept),
        )
        walked.answers[line] = answer
        if answer.status == line.status:
            for name, part in line.keep.items():
                walked.kept[name] = str(answer.json()[part])
            if line.token:
                walked.kept[line.token] = example.tokens[line.token] = answer.json()["access_token"]
    return walked


async def stranger_refused(walked: Walk, line: Line) -> str | None:
    """Whether a line for users is closed to somebody without a token; else what happened instead."""
    answer = await walked.example.ask(line.method, walked.target(line))
    if answer.status != 401 or not answer.all("WWW-Authenticate"):
        return f"{line}: {answer}"
    return mismatch(ERROR | {"reason": "missing_token"}, answer.json())


async def outsider_refused(walked: Walk, line: Line) -> str | None:
    """Whether a line for services is closed to a page elsewhere; else what happened instead."""
    answer = await walked.example.ask(line.method, walked.target(line), host="elsewhere.example.org")
    return mismatch(ERROR | {"reason": "forbidden"}, answer.json()) if answer.status == 403 else str(answer)


def of_access(lines: Sequence[Line], access: Access) -> list[Line]:
    return [line for line in lines if line.access == access]


async def undescribed(walked: Walk, lines: Sequence[Line]) -> list[str]:
    """The lines that `/openapi.json` does not tell of, or whose access it tells otherwise."""
    paths = (await walked.example.ask("GET", "/openapi.json")).json()["paths"]
    # What stands below a `/*` is told of there.
    places = {
        line: paths.get(line.path) or paths.get(f"{line.path.rstrip('*')}{{path}}", {}) for line in lines
    }
    found = {line: place.get(line.method.lower()) for line, place in places.items()}
    return [
        str(line)
        for line, said in found.items()
        if said is None or (line.access == "public") is bool(said.get("security"))
    ]
