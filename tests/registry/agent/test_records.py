import math

from registry.agent.definitions import CheckDefinition
from registry.agent.records import Check


def test_a_new_check_falls_due_never() -> None:
    """So that a check of a kind without times needs no special case."""
    check = Check(CheckDefinition("c", "c", "http"), "passing")
    assert check.expires_at == check.critical_since == math.inf
