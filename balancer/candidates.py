"""Whom the calls of a service may go to: what a strategy chooses among.

Built anew whenever something about it changes, and only then, so a strategy may keep what it derives
from one under the identity of the object.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.model import Instance


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Instances with their weights of the moment. Compared by identity. Build it with `candidates`."""

    instances: tuple[Instance, ...]
    weights: tuple[float, ...]
    """Above 0, in the order of `instances`: the registry's weight, less while an instance is new or asks
    for less."""
    total: float
    """Of the weights."""
    even: bool
    """Whether all weights are equal."""
    panic: bool = False
    """Too few were usable, so the verdicts against the others were put aside."""
    reserves: tuple[Instance, ...] = ()
    """Who is asked only when nobody above is left, the most promising first."""
    local: "Candidates | None" = None
    """Those of the gateway's own zone, when they come first."""

    def __len__(self) -> int:
        return len(self.instances)


NOBODY = Candidates((), (), 0.0, even=True)


def candidates(
    instances: Sequence[Instance],
    weights: Sequence[float] | None = None,
    *,
    reserves: Sequence[Instance] = (),
    panic: bool = False,
    local: Candidates | None = None,
) -> Candidates:
    """With their derived parts built; `weights` are the registry's when none are given."""
    given = tuple(float(i.weight) for i in instances) if weights is None else tuple(weights)
    even = not given or min(given) == max(given)
    return Candidates(tuple(instances), given, sum(given), even, panic, tuple(reserves), local)
