"""People who register, log in, get new tokens, and log out: the same in every example, at its own paths."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from examples.chat.passwords import Passwords
from examples.chat.service import answer
from examples.standins.bodies import Kinds
from examples.standins.service import Refusal, Surroundings, bearer, caller, read_body
from examples.standins.tokens import Sessions

MOST_ACCOUNTS = 10_000
SHORTEST_PASSWORD = 8


@dataclass(slots=True)
class Account:
    uid: str
    email: str
    password: str
    """Its hash."""
    tier: str = "free"
    roles: tuple[str, ...] = ()
    profile: dict[str, Any] = field(default_factory=dict)
    """What else was said at registration."""
    says: dict[str, str] = field(default_factory=dict)
    """What else its tokens say."""

    def shown(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            "id": self.uid,
            "email": self.email,
            "tier": self.tier,
            "roles": list(self.roles),
            **self.profile,
        }

    def claims(self) -> dict[str, object]:
        """What its tokens say beside whose they are."""
        return {"user_id": self.uid, "tier": self.tier, "roles": list(self.roles), **self.says}


class Accounts:
    """Who there is, and the endpoints of everybody.

    `profile` is what registration asks for besides; `on_event` hears what somebody has done, and who.
    """

    def __init__(
        self,
        given: Surroundings,
        profile: Mapping[str, type] | None = None,
        access_s: int | None = None,
        on_event: Callable[[str, str], None] = lambda _event, _uid: None,
    ) -> None:
        self._on_event = on_event
        self._profile: Kinds = profile or {}
        self._by_uid: dict[str, Account] = {}
        self._by_email: dict[str, Account] = {}
        self._passwords = Passwords(given.passwords)
        self.sessions = Sessions(given.secret, given.clock, lambda uid: self._by_uid[uid].claims(), access_s)

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """For `app.cleanup_ctx`: the threads that hash passwords end with the application."""
        yield
        await self._passwords.close()

    def of(self, uid: str) -> Account:
        """Raises `Refusal` (404) for nobody."""
        account = self._by_uid.get(uid)
        if account is None:
            raise Refusal(404, "there is no such user")
        return account

    def me(self, request: web.Request) -> Account:
        """Whose token came with the request."""
        return self.of(caller(request))

    def tokens_now(self, request: web.Request) -> dict[str, object]:
        """New tokens for the caller, after what they say has changed. Raises `Refusal` (401)."""
        pair = self.sessions.reissue(bearer(request))
        if pair is None:
            raise Refusal(401, "you are logged out")
        return pair

    def with_email(self, email: str) -> Account | None:
        return self._by_email.get(email.lower())

    def newest(self, count: int) -> list[Account]:
        return list(self._by_uid.values())[: -count - 1 : -1]

    def forget(self, account: Account) -> None:
        """As if they had never registered."""
        self.sessions.end_all(account.uid)
        del self._by_uid[account.uid], self._by_email[account.email]

    async def register(self, request: web.Request) -> web.Response:
        """A new account, logged in at once."""
        body = await read_body(request, {"email": str, "password": str, **self._profile})
        email = body.pop("email").strip().lower()
        password = body.pop("password")
        if "@" not in email:
            raise Refusal(400, 'email: must look like "user@example.com"')
        if len(password) < SHORTEST_PASSWORD:
            raise Refusal(400, f"password: must have at least {SHORTEST_PASSWORD} characters")
        hashed = await self._passwords.hash(password)
        if email in self._by_email:
            raise Refusal(409, "email: somebody has registered with it already")
        if len(self._by_uid) >= MOST_ACCOUNTS:
            raise Refusal(503, "this stand-in is full: start it anew")
        account = Account(uuid4().hex, email, hashed, profile=body)
        self._by_uid[account.uid] = self._by_email[email] = account
        self._on_event("user_registered", account.uid)
        return answer({**self.sessions.begin(account.uid), "user": account.shown()}, 201)

    async def login(self, request: web.Request) -> web.Response:
        body = await read_body(request, {"email": str, "password": str})
        account = self.with_email(body["email"].strip())
        right = await self._passwords.verify(body["password"], account.password if account else None)
        if account is None or not right:
            raise Refusal(401, "wrong email or password")
        self._on_event("user_logged_in", account.uid)
        return answer({**self.sessions.begin(account.uid), "user": account.shown()})

    async def refresh(self, request: web.Request) -> web.Response:
        body = await read_body(request, {"refresh_token": str})
        renewed = self.sessions.renew(body["refresh_token"])
        if renewed is None:
            raise Refusal(401, "refresh_token: is not valid")
        uid, pair = renewed
        self._on_event("token_refreshed", uid)
        return answer(pair)

    async def logout(self, request: web.Request) -> web.Response:
        """Ends the caller's sessions here; that the access token is good no more, the gateway sees to."""
        self.sessions.end_all(caller(request))
        return answer({"message": "Logged out"})
