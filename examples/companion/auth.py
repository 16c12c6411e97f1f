"""auth-service: accounts and profiles, and the tier that tokens say: free, premium or elite."""

from aiohttp import web

from examples.chat.service import answer
from examples.companion.matches import Matches
from examples.standins.accounts import Accounts
from examples.standins.service import Refusal, Surroundings, new_app, only_services, read_body, serve

REGISTRATION = {"username": str, "age": int}
PROFILE = {"username": str, "about": str}
YOUNGEST = 18
ROLES = {"free": (), "premium": ("premium",), "elite": ("premium", "elite")}
"""What each tier may do: routes ask for roles."""


class Users:
    def __init__(self, accounts: Accounts, matches: Matches, key: str) -> None:
        self._accounts = accounts
        self._matches = matches
        self._key = key

    async def register(self, request: web.Request) -> web.Response:
        if (await read_body(request, REGISTRATION))["age"] < YOUNGEST:
            raise Refusal(400, f"age: must be {YOUNGEST} or more")
        return await self._accounts.register(request)

    async def me(self, request: web.Request) -> web.Response:
        return answer(self._accounts.me(request).shown())

    async def change(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        account.profile |= await read_body(request, {}, PROFILE)
        return answer(account.shown())

    async def stats(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        return answer({"matches": self._matches.count(account.uid), "tier": account.tier})

    async def delete(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        self._matches.forget(account.uid)
        self._accounts.forget(account)
        return answer({"message": "Account deleted"})

    async def change_tier(self, request: web.Request) -> web.Response:
        """payment-service says what somebody has paid for; the next token says it too."""
        only_services(request, self._key)
        body = await read_body(request, {"user_id": str, "tier": str})
        account = self._accounts.of(body["user_id"])
        if body["tier"] not in ROLES:
            raise Refusal(400, f"tier: must be one of {', '.join(ROLES)}")
        account.tier, account.roles = body["tier"], ROLES[body["tier"]]
        return answer({"user_id": account.uid, "tier": account.tier})


def build(given: Surroundings) -> web.Application:
    accounts, matches = Accounts(given, REGISTRATION), Matches()
    users = Users(accounts, matches, given.key)
    app = new_app(given)
    app.cleanup_ctx.append(accounts.lifetime)
    app.add_routes(
        [
            web.post("/auth/register", users.register),
            web.post("/auth/login", accounts.login),
            web.post("/auth/refresh", accounts.refresh),
            web.post("/auth/logout", accounts.logout),
            web.get("/auth/me", users.me),
            web.get("/users/profile", users.me),
            web.put("/users/profile", users.change),
            web.get("/users/stats", users.stats),
            web.delete("/users/account", users.delete),
            web.post("/tiers", users.change_tier),
            *matches.routes(),
        ]
    )
    return app


if __name__ == "__main__":
    serve("auth-service", build, module="examples.companion.auth", secret="JWT_SECRET_KEY")
