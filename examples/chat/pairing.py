"""Who may talk to whom: the pure rule of the matching service.

Rules of this file: no clock, no database. The pool is given oldest first, and the one who has
waited longest among those that fit is taken, so nobody starves behind newcomers.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from examples.chat.profile import Profile


@dataclass(frozen=True, slots=True)
class Person:
    uid: str
    profile: Profile


def wants(one: Profile, other: Profile) -> bool:
    """Whether `other` is what `one` looks for."""
    youngest, oldest = one.preferred_ages
    return one.preferred_sex in ("any", other.sex) and youngest <= other.age <= oldest


def fits(one: Person, other: Person) -> bool:
    """Whether each is what the other looks for. Symmetric, and never true of oneself."""
    return one.uid != other.uid and wants(one.profile, other.profile) and wants(other.profile, one.profile)


def choose_partner(seeker: Person, waiting: Iterable[Person], avoid: Collection[str] = ()) -> Person | None:
    """The first of `waiting` that fits, leaving out the uids to `avoid` (earlier partners)."""
    return next((other for other in waiting if other.uid not in avoid and fits(seeker, other)), None)
