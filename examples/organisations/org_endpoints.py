"""auth-service: organisations, their members and their invitations."""

from typing import TypeVar
from uuid import uuid4

from aiohttp import web

from examples.chat.service import answer
from examples.organisations.organisations import Denied, Organisation, Organisations, Role
from examples.standins.accounts import Account, Accounts
from examples.standins.events import Events
from examples.standins.service import Refusal, caller, read_body

T = TypeVar("T")

TOPIC = "organization-events"
ACTIVE = "org"
"""The claim with the active organisation."""

STATUSES = {
    Denied.NO_ORGANISATION: 404,
    Denied.NO_SUCH_MEMBER: 404,
    Denied.NO_INVITATION: 404,
    Denied.THE_OWNER_STAYS: 409,
    Denied.FULL: 503,
}
"""The others are 403."""


def allowed(found: T | Denied) -> T:
    """What was found. Raises `Refusal` for a `Denied`."""
    if isinstance(found, Denied):
        raise Refusal(STATUSES.get(found, 403), f"{found}")
    return found


def role_of(text: str) -> Role:
    """Raises `Refusal` (400) for a word that is no role."""
    if text not in set(Role):
        raise Refusal(400, f"role: must be one of {', '.join(Role)}")
    return Role(text)


def activate(account: Account, organisation: Organisation) -> None:
    """The account's tokens say this organisation and the role there; none for who does not belong to it."""
    role = organisation.members.get(account.uid)
    account.says = {ACTIVE: organisation.id} if role else {}
    account.roles = (role,) if role else ()


class OrgEndpoints:
    def __init__(self, accounts: Accounts, organisations: Organisations, events: Events) -> None:
        self._accounts = accounts
        self._organisations = organisations
        self._events = events

    async def create(self, request: web.Request) -> web.Response:
        """A new organisation, which is the active one of its owner then: the tokens say so."""
        account = self._accounts.me(request)
        body = await read_body(request, {"name": str})
        made = allowed(self._organisations.create(uuid4().hex, body["name"], account.uid))
        activate(account, made)
        self._tell("organization_created", made, account.uid)
        return answer({**made.shown(), **self._accounts.tokens_now(request)}, 201)

    async def members(self, request: web.Request) -> web.Response:
        uid = caller(request)
        found = allowed(self._organisations.seen_by(uid, request.match_info["id"]))
        self._tell("members_listed", found, uid)
        return answer({"members": found.list_members()})

    async def invite(self, request: web.Request) -> web.Response:
        uid, invitation = caller(request), uuid4().hex
        body = await read_body(request, {"email": str}, {"role": str})
        role = role_of(body.get("role", Role.MEMBER))
        found = allowed(
            self._organisations.invite(uid, request.match_info["id"], body["email"], role, invitation)
        )
        self._tell("user_invited", found, uid)
        return answer({"invitation": invitation, "org_id": found.id, "role": role}, 201)

    async def accept(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        body = await read_body(request, {"invitation": str})
        found = allowed(self._organisations.accept(account.uid, account.email, body["invitation"]))
        self._tell("invite_accepted", found, account.uid)
        return answer({"org_id": found.id, "role": found.members[account.uid]})

    async def remove(self, request: web.Request) -> web.Response:
        found, member = self._member(request)
        del found.members[member]
        self._follow(found, member)
        self._tell("member_removed", found, member)
        return web.Response(status=204)

    async def change_role(self, request: web.Request) -> web.Response:
        found, member = self._member(request)
        role = role_of((await read_body(request, {"role": str}))["role"])
        if role is Role.OWNER:
            raise Refusal(409, f"{Denied.THE_OWNER_STAYS}")
        found.members[member] = role
        self._follow(found, member)
        self._tell("member_role_updated", found, member)
        return answer({"user_id": member, "role": role})

    async def show_to_services(self, request: web.Request) -> web.Response:
        return answer(allowed(self._organisations.of(request.match_info["id"])).shown())

    async def members_to_services(self, request: web.Request) -> web.Response:
        found = allowed(self._organisations.of(request.match_info["id"]))
        self._tell("members_listed", found, "")
        return answer({"members": found.list_members()})

    def _member(self, request: web.Request) -> tuple[Organisation, str]:
        id, member = request.match_info["id"], request.match_info["user_id"]
        return allowed(self._organisations.member_to_change(caller(request), id, member)), member

    def _follow(self, organisation: Organisation, member: str) -> None:
        """If the organisation is the member's active one, what they may there has changed."""
        account = self._accounts.of(member)
        if account.says.get(ACTIVE) == organisation.id:
            activate(account, organisation)

    def _tell(self, event: str, organisation: Organisation, uid: str) -> None:
        self._events.tell(TOPIC, event, org_id=organisation.id, user_id=uid)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/org", self.create),
            web.get("/v1/org/{id}/members", self.members),
            web.post("/v1/org/{id}/invite", self.invite),
            web.post("/v1/invite/accept", self.accept),
            web.delete("/v1/org/{id}/member/{user_id}", self.remove),
            web.patch("/v1/org/{id}/member/{user_id}/role", self.change_role),
            web.get("/auth/org/{id}", self.show_to_services),
            web.get("/auth/org/{id}/members", self.members_to_services),
        ]
