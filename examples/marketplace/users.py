"""user-service: accounts, who there is, and what each says of themselves."""

from aiohttp import web

from examples.chat.service import answer
from examples.standins.accounts import Accounts
from examples.standins.service import Surroundings, new_app, read_body, serve

PROFILE = {"name": str, "about": str}


class Users:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def show_all(self, _: web.Request) -> web.Response:
        """Without what is nobody else's business."""
        people = [{"id": account.uid, **account.profile} for account in self._accounts.newest(100)]
        return answer({"count": len(people), "results": people})

    async def show(self, request: web.Request) -> web.Response:
        account = self._accounts.of(request.match_info["id"])
        return answer({"id": account.uid, **account.profile})

    async def profile(self, request: web.Request) -> web.Response:
        return answer(self._accounts.me(request).shown())

    async def change_profile(self, request: web.Request) -> web.Response:
        account = self._accounts.me(request)
        account.profile |= await read_body(request, {}, PROFILE)
        return answer(account.shown())


def build(given: Surroundings) -> web.Application:
    accounts = Accounts(given)
    users = Users(accounts)
    app = new_app(given, health_path="/api/health/")
    app.cleanup_ctx.append(accounts.lifetime)
    app.add_routes(
        [
            web.post("/api/auth/login/", accounts.login),
            web.post("/api/auth/refresh/", accounts.refresh),
            web.post("/api/auth/logout/", accounts.logout),
            web.post("/api/users/", accounts.register),
            web.get("/api/users/", users.show_all),
            web.get("/api/users/{id}/", users.show),
            web.get("/api/profile/", users.profile),
            web.put("/api/profile/", users.change_profile),
        ]
    )
    return app


if __name__ == "__main__":
    serve("user-service", build, module="examples.marketplace.users", secret="JWT_SECRET_KEY")
