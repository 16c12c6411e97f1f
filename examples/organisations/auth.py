"""auth-service: who people are, which of their organisations is the active one, and whether a token is good.

The gateway asks here about each token (`/auth/validate`), and hears the active organisation (`org`) and its
user's role there (`roles`) too.
"""

from aiohttp import web

from examples.chat.service import answer
from examples.organisations.org_endpoints import OrgEndpoints, activate, allowed
from examples.organisations.organisations import Organisations
from examples.standins.accounts import Account, Accounts
from examples.standins.events import Events
from examples.standins.service import Refusal, Surroundings, bearer, new_app, read_body, serve

AUTH, USER = "auth-events", "user-events"
"""Topics."""
ORG_HEADER = "X-Org-Id"
"""The caller's active organisation, as the gateway has it from `/auth/validate`."""


class People:
    """The endpoints below `/v1/client`, and those for services below `/auth`."""

    def __init__(self, accounts: Accounts, organisations: Organisations, events: Events) -> None:
        self._accounts = accounts
        self._organisations = organisations
        self._events = events

    async def me(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        self._events.tell(USER, "user_info_requested", user_id=account.uid)
        return answer({**self._shown(account), "active_org": request.headers.get(ORG_HEADER)})

    async def switch(self, request: web.Request) -> web.Response:
        """Another organisation is the active one: tokens that say so."""
        account = self._accounts.me(request)
        wanted = (await read_body(request, {"org_id": str}))["org_id"]
        organisation = allowed(self._organisations.seen_by(account.uid, wanted))
        activate(account, organisation)
        self._events.tell(USER, "organization_switched", user_id=account.uid, org_id=organisation.id)
        return answer({**self._accounts.tokens_now(request), "active_org": organisation.id})

    async def logout(self, request: web.Request) -> web.Response:
        """Ends the session of the refresh token in the body, or of the access token in the header.

        Anybody may call: what is shown is what is ended.
        """
        body = await read_body(request, {}, {"refresh_token": str})
        token = body.get("refresh_token") or bearer(request)
        uid = self._accounts.sessions.end(token)
        if uid is None:
            raise Refusal(401, "refresh_token: is not valid")
        self._events.tell(AUTH, "user_logged_out", user_id=uid)
        return answer({"message": "Logged out"})

    async def validate(self, request: web.Request) -> web.Response:
        """Whether an access token is good, and what it says; `?token=`, or as `Authorization: Bearer`."""
        claims = self._accounts.sessions.holder(request.query.get("token") or bearer(request))
        if claims is None:
            raise Refusal(401, "token: is not valid")
        self._events.tell(AUTH, "token_validated", user_id=claims.uid)
        said = self._accounts.of(claims.uid).claims()
        return answer({"active": True, "sub": claims.uid, "exp": claims.expires_at, **said})

    async def user(self, request: web.Request) -> web.Response:
        account = self._accounts.of(request.match_info["id"])
        self._events.tell(USER, "user_detail_requested", user_id=account.uid)
        return answer(self._shown(account))

    async def orgs(self, request: web.Request) -> web.Response:
        account = self._accounts.of(request.match_info["id"])
        self._events.tell(USER, "user_orgs_requested", user_id=account.uid)
        return answer({"organizations": self._orgs_of(account)})

    def _shown(self, account: Account) -> dict[str, object]:
        return {**account.shown(), "organizations": self._orgs_of(account)}

    def _orgs_of(self, account: Account) -> list[dict[str, object]]:
        mine = self._organisations.with_member(account.uid)
        return [{**one.shown(), "role": one.members[account.uid]} for one in mine]


def build(given: Surroundings) -> web.Application:
    events = Events(given.clock)
    accounts = Accounts(given, on_event=lambda event, uid: events.tell(AUTH, event, user_id=uid))
    organisations = Organisations()
    people = People(accounts, organisations, events)
    orgs = OrgEndpoints(accounts, organisations, events)
    app = new_app(given)
    app.cleanup_ctx.append(accounts.lifetime)
    app.add_routes(
        [
            web.post("/v1/client/sign-up", accounts.register),
            web.post("/v1/client/sign-in/password", accounts.login),
            web.post("/v1/client/refresh_token", accounts.refresh),
            web.post("/v1/client/logout", people.logout),
            web.get("/v1/client/me", people.me),
            web.patch("/v1/client/switch-org", people.switch),
            web.get("/auth/validate", people.validate),
            web.get("/auth/user/{id}", people.user),
            web.get("/auth/user/{id}/orgs", people.orgs),
            *orgs.routes(),
        ]
    )
    return app


if __name__ == "__main__":
    serve("auth-service", build, module="examples.organisations.auth", secret="JWT_SECRET")
