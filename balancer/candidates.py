"""Whom the calls of a service may go to: what a strategy chooses among.

Built anew whenever something about it changes, and only then, so a strategy may keep what it derives
from one under the identity of the object.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from registry.model import Instance

FULL_SCAN = 8
"""Up to so many candidates are looked at one by one: that is the cheapest, and nobody is overlooked."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
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


T = TypeVar("T")


class Derived(Generic[T]):
    """What a strategy makes of a `Candidates`, made once and kept for as long as anybody has that object.

    A service is asked about several in turns: for calls and, when somebody is put aside, others for
    hand-outs, and of both all and the local ones. What is made must not hold the `Candidates` itself.
    """

    __slots__ = ("_known", "_made", "_make", "last")

    def __init__(self, make: Callable[[Candidates], T]) -> None:
        self._make = make
        self.last: Candidates | None = None
        """Asked about last. While a new one is made: the one before."""
        self._made: T
        self._known: WeakKeyDictionary[Candidates, T] = WeakKeyDictionary()

    def of(self, candidates: Candidates) -> T:
        if candidates is not self.last:
            self._turn_to(candidates)
        return self._made

    def forget(self) -> None:
        self.last = None
        self._known.clear()

    def _turn_to(self, candidates: Candidates) -> None:
        made = self._known.get(candidates)
        if made is None:
            made = self._known[candidates] = self._make(candidates)
        self.last, self._made = candidates, made
