"""The auth service: sign up, log in, and the questions about tokens.

    JWT_SECRET=… python -m examples.chat.auth --port 9001 --id auth-1 --database chat.db

Any number of instances share one database file and one secret.
"""

import uuid
from collections.abc import AsyncIterator, Mapping
from functools import partial

from aiohttp import web

from examples.chat import tokens, users
from examples.chat.database import Database
from examples.chat.passwords import Passwords, ScryptSettings
from examples.chat.profile import LONGEST_UID, Invalid, read_credentials, read_sign_up, read_text
from examples.chat.service import (
    Clock,
    answer,
    arguments,
    database_argument,
    jwt_secret,
    new_app,
    read_object,
    refuse,
    refuse_fields,
    serve,
)
from examples.chat.tokens import Claims, Kind, Rejected
from registry.runtime.clock import unix_now

WRONG_LOGIN = "wrong email or password"
"""One text for both, as the time is one for both: nobody learns who has an account."""


class Auth:
    """The endpoints of one instance."""

    def __init__(self, database: Database, passwords: Passwords, secret: str, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._secret = secret
        self._clock = clock

    async def register(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if isinstance(body, web.Response):
            return body
        who = read_sign_up(body)
        if isinstance(who, Invalid):
            return refuse_fields(who)
        password_hash = await self._passwords.hash(who.password)
        user = users.new_user(uuid.uuid4().hex, who, password_hash)
        if not await self._database.write(partial(users.add, user=user, now=self._clock())):
            return refuse(409, "email: somebody has signed up with it already")
        return answer(
            {
                "status": "success",
                "message": "User registered successfully",
                "avatar_code": user.avatar_code,
            }
        )

    async def login(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        if isinstance(body, web.Response):
            return body
        who = read_credentials(body)
        if isinstance(who, Invalid):
            return refuse_fields(who)
        user = await self._database.read(partial(users.by_email, email=who.email))
        right = await self._passwords.verify(who.password, user.password if user else None)
        if user is None or not right:
            return refuse(401, WRONG_LOGIN)
        return answer(
            {
                "status": "success",
                "access_token": self._issue(user.uid, Kind.ACCESS),
                "refresh_token": self._issue(user.uid, Kind.REFRESH),
                "uid": user.uid,
                "username": user.username,
                "avatar_code": user.avatar_code,
                "expires_in": Kind.ACCESS.lifetime_s,
            }
        )

    async def refresh(self, request: web.Request) -> web.Response:
        """A new access token for a refresh token."""
        claims = await self._poster(request, "refresh_token", Kind.REFRESH)
        if isinstance(claims, web.Response):
            return claims
        return answer(
            {
                "status": "success",
                "access_token": self._issue(claims.uid, Kind.ACCESS),
                "uid": claims.uid,
                "expires_in": Kind.ACCESS.lifetime_s,
            }
        )

    async def token_login(self, request: web.Request) -> web.Response:
        claims = await self._poster(request, "token", Kind.ACCESS)
        if isinstance(claims, web.Response):
            return claims
        return answer({"status": "success", "message": "Access token is up to date", "uid": claims.uid})

    async def token_check(self, request: web.Request) -> web.Response:
        """The token and the uid come as parameters, or as headers, which stay out of logs."""
        given = {field: request.query.get(field) or request.headers.get(field) for field in ("token", "uid")}
        claims = await self._holder(given, "token", Kind.ACCESS)
        if isinstance(claims, web.Response):
            return claims
        uid = read_text(given, "uid", LONGEST_UID)
        if isinstance(uid, Invalid):
            return refuse_fields(uid)
        if claims.uid != uid:
            return refuse(403, "uid: the token belongs to another user")
        return answer({"status": "success", "message": "Token is up to date, user submitted"})

    async def _poster(self, request: web.Request, field: str, kind: Kind) -> Claims | web.Response:
        body = await read_object(request)
        return body if isinstance(body, web.Response) else await self._holder(body, field, kind)

    async def _holder(self, given: Mapping[str, object], field: str, kind: Kind) -> Claims | web.Response:
        """Whose token stands in `field`, if it is good and the user still exists."""
        token = read_text(given, field, tokens.LONGEST_TOKEN)
        if isinstance(token, Invalid):
            return refuse_fields(token)
        claims = tokens.read(self._secret, token, kind, self._clock())
        if isinstance(claims, Rejected):
            return refuse(401, f"{field}: {'has expired' if claims is Rejected.EXPIRED else 'is not valid'}")
        if await self._database.read(partial(users.by_uid, uid=claims.uid)) is None:
            return refuse(401, f"{field}: its user no longer exists")
        return claims

    def _issue(self, uid: str, kind: Kind) -> str:
        return tokens.issue(self._secret, uid, kind, uuid.uuid4().hex, self._clock())


def auth_app(
    database: Database, secret: str, *, cost: ScryptSettings | None = None, clock: Clock = unix_now
) -> web.Application:
    """The service on a database, which it opens and closes."""
    passwords = Passwords(cost or ScryptSettings())
    auth = Auth(database, passwords, secret, clock)

    async def resources(_: web.Application) -> AsyncIterator[None]:
        try:
            await database.open()
            yield
        finally:
            await passwords.close()
            await database.close()

    app = new_app()
    app.cleanup_ctx.append(resources)
    app.router.add_post("/register", auth.register)
    app.router.add_post("/login", auth.login)
    app.router.add_post("/refresh", auth.refresh)
    app.router.add_post("/token_login", auth.token_login)
    app.router.add_get("/token_check", auth.token_check)
    return app


def main() -> None:
    parser = arguments("auth")
    database_argument(parser)
    options = parser.parse_args()
    serve(auth_app(Database(options.database), jwt_secret()), "auth", options)


if __name__ == "__main__":
    main()
