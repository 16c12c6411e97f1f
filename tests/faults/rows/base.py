"""A row of the matrix."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.figure import Figure
from tests.faults.rig import Stage


@dataclass(frozen=True, slots=True)
class Row:
    """`target` in the words of RELIABILITY 4, shortened; `run` does it and says what came of it."""

    id: str
    fault: str
    target: str
    run: Callable[[Stage], Awaitable[Figure]]
    quick: bool = True
    """Whether its short form is a test of every day."""
