"""user-service: accounts, and what developers say of themselves."""

import os

from aiohttp import web

from examples.chat.service import answer
from examples.standins.accounts import Accounts
from examples.standins.service import Refusal, Surroundings, caller, new_app, read_body, serve

PROFILE = {"name": str, "skills": list}
MORE = {"about": str, "rate": float}


class Developers:
    """The profiles of those users who are developers."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._profiles: dict[str, dict[str, object]] = {}
        """By user: there are never more than accounts."""

    async def create(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        if account.uid in self._profiles:
            raise Refusal(409, "you have a profile already: change it with PUT")
        profile = {"user_id": account.uid, **await read_body(request, PROFILE, MORE)}
        self._profiles[account.uid] = profile
        return answer(profile, 201)

    async def change(self, request: web.Request) -> web.Response:
        uid = request.match_info["user_id"]
        if uid != caller(request):
            raise Refusal(403, "this profile is somebody else's")
        profile = self._profiles.get(uid)
        if profile is None:
            raise Refusal(404, "you have no profile yet: make one with POST")
        profile |= await read_body(request, {}, {**PROFILE, **MORE})
        return answer(profile)

    async def show_all(self, _: web.Request) -> web.Response:
        """For the other services: no route leads here from outside."""
        return answer({"developers": list(self._profiles.values())})

    async def me(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        return answer({**account.shown(), "developer": self._profiles.get(account.uid)})


def build(given: Surroundings) -> web.Application:
    hours = os.environ.get("JWT_EXPIRATION_HOURS") or "24"
    if not hours.isdecimal() or not 1 <= int(hours) <= 8760:
        raise ValueError("JWT_EXPIRATION_HOURS must be a whole number from 1 to 8760")
    accounts = Accounts(given, access_s=int(hours) * 3600)
    developers = Developers(accounts)
    app = new_app(given)
    app.cleanup_ctx.append(accounts.lifetime)
    app.add_routes(
        [
            web.post("/auth/register", accounts.register),
            web.post("/auth/login", accounts.login),
            web.post("/auth/refresh", accounts.refresh),
            web.post("/auth/logout", accounts.logout),
            web.get("/users/me", developers.me),
            web.get("/users/developers", developers.show_all),
            web.post("/users/developers", developers.create),
            web.put("/users/developers/{user_id}", developers.change),
        ]
    )
    return app


if __name__ == "__main__":
    serve("user-service", build, module="examples.devmatch.users", secret="JWT_SECRET")
