"""Views of a service: whom its calls may go to, of all of its instances or of a subset of them.

Rules of this file: a subset is judged as if it were the whole service, with a panic, reserves and local ones
of its own. It is looked through when it is first asked for after something has changed, and only then.
"""

from collections.abc import Sequence
from typing import NamedTuple

from balancer.candidates import NOBODY, Candidates
from balancer.places import kept, places
from balancer.policy import ServicePolicy
from balancer.record import Record


class View(NamedTuple):
    """Of one service, or of a subset."""

    calm: Candidates
    current: Candidates
    """The same, but in panic."""
    known: int
    """How many instances it has, whatever their health."""
    in_order: int
    """How many of them nothing is held against."""


NO_VIEW = View(NOBODY, NOBODY, 0, 0)


def view_of(records: Sequence[Record], policy: ServicePolicy, now: float, before: View) -> tuple[View, float]:
    """How these stand, with the objects of `before` where they say the same; and until when that holds."""
    stand = places(records)
    found, until = stand.candidates(policy, now, panic=False)
    calm = current = kept(before.calm, found)
    if stand.too_few(policy.ejection.panic_percent):
        current, panic_until = stand.candidates(policy, now, panic=True)
        until = min(until, panic_until)
    in_order = len(stand.ready) + len(stand.parked)
    return View(calm, kept(before.current, current), len(records), in_order), until


def better_of(wished: View, others: View) -> View:
    """The wished one, unless only the others have somebody in order, or somebody at all."""
    if wished.in_order or (wished.known and not others.in_order):
        return wished
    return others


class SubsetViews:
    """Of one service, by tag and by side: inside are those with the tag, outside the others."""

    def __init__(self) -> None:
        self._records: Sequence[Record] = ()
        self._before: dict[tuple[str, bool], View] = {}
        self.known: dict[tuple[str, bool], View] = {}
        """Those that were looked for since something has changed."""

    def turn(self, records: Sequence[Record]) -> None:
        """Something has changed. These are all of the service's; what nobody looks for again is forgotten."""
        self._records = records
        self._before, self.known = self.known, {}

    def look(self, tag: str, policy: ServicePolicy, now: float, *, inside: bool) -> tuple[View, float]:
        """A view that is not known yet, and until when it holds if nothing happens."""
        side = (tag, inside)
        records = [record for record in self._records if (tag in record.instance.tags) is inside]
        view, until = view_of(records, policy, now, self._before.get(side, NO_VIEW))
        self.known[side] = view
        return view, until

    def __repr__(self) -> str:
        return f"<SubsetViews: {len(self.known)} of {len(self._records)} instances>"
