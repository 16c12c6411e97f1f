"""Who belongs to which organisation, in which role, and who is invited.

Rules of this file: plain data in memory; ids come in as arguments; an expected "no" is a `Denied`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST = 10_000
"""Organisations, and invitations."""


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


MANAGERS = (Role.OWNER, Role.ADMIN)
"""Who may invite, remove, and give roles."""


class Denied(StrEnum):
    """Why not."""

    NO_ORGANISATION = "there is no such organisation"
    NOT_A_MEMBER = "you do not belong to this organisation"
    NOT_A_MANAGER = "only its owner and admins may do that"
    NO_SUCH_MEMBER = "nobody like that belongs to this organisation"
    THE_OWNER_STAYS = "its owner stays its owner"
    NO_INVITATION = "there is no such invitation for you"
    FULL = "this stand-in is full: start it anew"


@dataclass(slots=True)
class Organisation:
    id: str
    name: str
    members: dict[str, Role] = field(default_factory=dict)
    """By user."""

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "members": len(self.members)}

    def list_members(self) -> list[dict[str, str]]:
        return [{"user_id": uid, "role": role} for uid, role in self.members.items()]


@dataclass(frozen=True, slots=True)
class Invitation:
    organisation: str
    email: str
    role: Role


class Organisations:
    """All of them, and the invitations that nobody has accepted yet."""

    def __init__(self) -> None:
        self._all: dict[str, Organisation] = {}
        self._invitations: dict[str, Invitation] = {}

    def create(self, id: str, name: str, owner: str) -> Organisation | Denied:
        if len(self._all) >= MOST:
            return Denied.FULL
        self._all[id] = Organisation(id, name, {owner: Role.OWNER})
        return self._all[id]

    def of(self, id: str) -> Organisation | Denied:
        return self._all.get(id, Denied.NO_ORGANISATION)

    def with_member(self, uid: str) -> list[Organisation]:
        return [one for one in self._all.values() if uid in one.members]

    def seen_by(self, uid: str, id: str, roles: tuple[Role, ...] = tuple(Role)) -> Organisation | Denied:
        """The organisation, for a member who has one of these roles."""
        found = self.of(id)
        if isinstance(found, Denied):
            return found
        if uid not in found.members:
            return Denied.NOT_A_MEMBER
        return found if found.members[uid] in roles else Denied.NOT_A_MANAGER

    def invite(self, uid: str, id: str, email: str, role: Role, invitation: str) -> Organisation | Denied:
        """Somebody with that address may come in that role; `invitation` is what they have to show."""
        found = self.seen_by(uid, id, MANAGERS)
        if isinstance(found, Denied):
            return found
        if len(self._invitations) >= MOST:
            return Denied.FULL
        if role is Role.OWNER:
            return Denied.THE_OWNER_STAYS
        self._invitations[invitation] = Invitation(id, email.lower(), role)
        return found

    def accept(self, uid: str, email: str, invitation: str) -> Organisation | Denied:
        """An invitation is good once, for its address."""
        found = self._invitations.get(invitation)
        if found is None or found.email != email:
            return Denied.NO_INVITATION
        del self._invitations[invitation]
        organisation = self.of(found.organisation)
        if isinstance(organisation, Organisation):
            organisation.members.setdefault(uid, found.role)
        return organisation

    def member_to_change(self, uid: str, id: str, member: str) -> Organisation | Denied:
        """The organisation, if `uid` may remove that member, or give them another role."""
        found = self.seen_by(uid, id, MANAGERS)
        if isinstance(found, Denied):
            return found
        if member not in found.members:
            return Denied.NO_SUCH_MEMBER
        return Denied.THE_OWNER_STAYS if found.members[member] is Role.OWNER else found
