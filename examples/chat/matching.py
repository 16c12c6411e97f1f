"""The matching service: pairs people who wait, by sex, age and preferences, and keeps what they write.

    JWT_SECRET=… python -m examples.chat.matching --port 9011 --id matching-1 --database chat.db

It verifies the user's token itself and doesn't look at the `X-User-Id` that the gateway adds: that
costs 40 microseconds, and whoever reaches the service's own port gets no further than the gateway's clients.
"""

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from examples.chat import tokens, waiting_room
from examples.chat.database import Database
from examples.chat.letters import Letters
from examples.chat.profile import LONGEST_UID, Invalid, read_text
from examples.chat.service import (
    Clock,
    answer,
    arguments,
    database_argument,
    internal_key,
    is_internal,
    jwt_secret,
    new_app,
    read_object,
    refuse,
    refuse_fields,
    serve,
)
from examples.chat.tokens import Kind, Rejected
from examples.chat.waiting_room import RoomSettings, Unknown, Waiting
from registry.runtime.clock import unix_now

ASK_AGAIN_S = 2
"""What a waiting client is advised: seven tries within `RoomSettings.wait_s`."""


class Matching:
    """The endpoints of one instance."""

    def __init__(
        self, database: Database, secret: str, key: str, settings: RoomSettings, clock: Clock
    ) -> None:
        self._database = database
        self._secret = secret
        self._key = key
        self._settings = settings
        self._clock = clock

    async def matching(self, request: web.Request) -> web.Response:
        """The partner, or `waiting`. With `"again": true` the present partner is left for a new one."""
        caller = self._caller(request)
        if isinstance(caller, web.Response):
            return caller
        body = await read_object(request)
        if isinstance(body, web.Response):
            return body
        uid, again = read_text(body, "uid", LONGEST_UID), body.get("again", False)
        if isinstance(uid, Invalid):
            return refuse_fields(uid)
        if not isinstance(again, bool):
            return refuse_fields(Invalid({"again": "must be true or false"}))
        if uid != caller:
            return refuse(403, "uid: the token belongs to another user")
        ask = partial(waiting_room.ask, uid=uid, again=again, now=self._clock(), settings=self._settings)
        match await self._database.write(ask):
            case Unknown():
                return refuse(401, "token: its user no longer exists")
            case Waiting():
                return answer(
                    {
                        "status": "waiting",
                        "message": "nobody fits yet, ask again",
                        "uid": None,
                        "ask_again_s": ASK_AGAIN_S,
                    }
                )
            case found:
                return answer(
                    {
                        "status": "success",
                        "message": "user found",
                        "uid": found.uid,
                        "partner": {
                            "username": found.username,
                            "avatar_code": found.avatar_code,
                            "sex": found.profile.sex,
                            "age": found.profile.age,
                        },
                    }
                )

    async def partner(self, request: web.Request) -> web.Response:
        """For the chat's handlers: `?uid=` -> whom that user may write to, null for nobody."""
        if not is_internal(request.remote, request.headers.get("X-Internal-Key", ""), self._key):
            return refuse(403, "for services only: send X-Internal-Key")
        uid = read_text(request.query, "uid", LONGEST_UID)
        if isinstance(uid, Invalid):
            return refuse_fields(uid)
        partner = await self._database.read(partial(waiting_room.partner_of, uid=uid))
        return answer({"status": "success", "uid": partner})

    def _caller(self, request: web.Request) -> str | web.Response:
        """The user whose good token the request carries, and whom its `uid` header names."""
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("token", "")
        if not token:
            return refuse(401, "token: is missing")
        claims = tokens.read(self._secret, token, Kind.ACCESS, self._clock())
        if isinstance(claims, Rejected):
            return refuse(401, f"token: {'has expired' if claims is Rejected.EXPIRED else 'is not valid'}")
        if request.headers.get("uid", claims.uid) != claims.uid:
            return refuse(403, "uid: the token belongs to another user")
        return claims.uid


def matching_app(
    database: Database,
    secret: str,
    key: str = "",
    *,
    settings: RoomSettings | None = None,
    clock: Clock = unix_now,
) -> web.Application:
    """The service on a database, which it opens and closes."""
    matching = Matching(database, secret, key, settings or RoomSettings(), clock)

    async def resources(_: web.Application) -> AsyncIterator[None]:
        try:
            await database.open()
            yield
        finally:
            await database.close()

    app = new_app()
    app.cleanup_ctx.append(resources)
    app.router.add_post("/matching", matching.matching)
    app.router.add_get("/partner", matching.partner)
    letters = Letters(database, key, clock)
    app.router.add_post("/messages", letters.keep)
    app.router.add_get("/messages", letters.missed)
    return app


def main() -> None:
    parser = arguments("matching")
    database_argument(parser)
    options = parser.parse_args()
    serve(matching_app(Database(options.database), jwt_secret(), internal_key()), "matching", options)


if __name__ == "__main__":
    main()
