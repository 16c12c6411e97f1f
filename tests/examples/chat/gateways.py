"""A small real gateway for tests: it introduces handlers, hands out tickets and knows where users sit."""

from base64 import urlsafe_b64encode
from collections import defaultdict
from typing import Any
from uuid import uuid4

from aiohttp import web

from handlers.model import HandlerId, Jti, Uid
from handlers.ticket import TicketClaims, TicketSecrets, sign
from registry.runtime.clock import unix_now

RECONNECT = {"first_ms": [0, 1000], "base_ms": 1000, "cap_ms": 30_000, "jitter": "full"}


class FakeGateway:
    """`places` says who sits where: a test may make it lie. `failing` makes every answer a 503."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.failing = False
        self.matching_urls: list[str] = []
        self.places: dict[str, str] = {}
        self.handlers: dict[str, tuple[str, int]] = {}
        """Handler id -> its public URL and epoch."""
        self.asked: list[str] = []
        self._secrets = TicketSecrets("a cluster secret of the tests, long enough")
        self._tickets: dict[str, str] = {}

    def ticket(self, uid: str, handler: str) -> str:
        """A ticket for one client of one handler."""
        jti, now = uuid4().hex, unix_now()
        self._tickets[jti] = uid
        _, epoch = self.handlers[handler]
        claims = TicketClaims(
            issuer=self._secrets.issuer,
            handler=HandlerId(handler),
            epoch=epoch,
            uid=Uid(uid),
            jti=Jti(jti),
            issued_at=int(now),
            expires_at=int(now) + 60,
            guaranteed_until=now + 12,
            session_id=jti,
        )
        return sign(claims, self._secrets.key_for(claims.handler, epoch))

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._answer])
        app.router.add_post("/handlers/register", self._register)
        app.router.add_post("/handlers/report", self._report)
        app.router.add_get("/handlers/locate", self._locate)
        app.router.add_get("/get_service_instance", self._instance)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.failing:
            return web.json_response({"error": "unavailable"}, status=503)
        if self.key and request.headers.get("X-Internal-Key") != self.key:
            return web.json_response({"error": "forbidden"}, status=403)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _register(self, request: web.Request) -> web.Response:
        hello = await request.json()
        self.handlers[hello["handler_id"]] = (hello["url"], hello["epoch"])
        key = self._secrets.key_for(hello["handler_id"], hello["epoch"])
        ticket = {
            "kid": key.kid,
            "key": _base64url(key.key),
            "algorithm": "HS256",
            "audience": f"wsh:{hello['handler_id']}",
            "issuer": self._secrets.issuer,
        }
        return web.json_response(
            {
                "ticket": ticket,
                "previous": [],
                "report_s": 1,
                "dead_after_s": 3,
                "reconnect": RECONNECT,
                "pool": {},
            }
        )

    async def _report(self, request: web.Request) -> web.Response:
        report = await request.json()
        for jti in report["confirmed"]:
            self.places[self._tickets[jti]] = report["handler_id"]
        return web.json_response({"draining": False, "reconnect": RECONNECT})

    async def _locate(self, request: web.Request) -> web.Response:
        uid = request.query["uid"]
        if uid not in self.places:
            return web.json_response({"error": "not_found", "reason": "unknown_user"}, status=404)
        handler = self.places[uid]
        url, _ = self.handlers[handler]
        return web.json_response({"uid": uid, "handler_id": handler, "url": url, "connected": True})

    async def _instance(self, request: web.Request) -> web.Response:
        if request.query["service_name"] != "matching" or not self.matching_urls:
            return web.json_response({"error": "unavailable"}, status=503)
        self.matching_urls.append(self.matching_urls.pop(0))
        return web.json_response({"instance": {"url": self.matching_urls[-1]}})


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


class FakeMatching:
    """Answers `/partner` from a dict, and keeps messages in another. `failing` makes every answer a 503."""

    def __init__(self, **partners: str) -> None:
        self.partners = partners
        self.asked = 0
        self.failing = False
        self.kept: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._answer])
        app.router.add_get("/partner", self._partner)
        app.router.add_post("/messages", self._keep)
        app.router.add_get("/messages", self._missed)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.failing:
            return web.json_response({"status": "error"}, status=503)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _partner(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"status": "success", "uid": self.partners.get(request.query["uid"])})

    async def _keep(self, request: web.Request) -> web.Response:
        letter = await request.json()
        if self.partners.get(letter["from"]) != letter["to"]:
            return web.json_response({"status": "error"}, status=409)
        return web.json_response({"status": "success", "seq": self.keep(**letter)})

    def keep(self, to: str, **letter: Any) -> int:
        """As when `from` had written it: its number."""
        kept = self.kept[to]
        letter = {"from": letter["from"], "id": letter["id"], "text": letter["text"]}
        for known in kept:
            if (known["from"], known["id"]) == (letter["from"], letter["id"]):
                return int(known["seq"])
        kept.append({**letter, "seq": len(kept) + 1})
        return len(kept)

    async def _missed(self, request: web.Request) -> web.Response:
        kept, after = self.kept[request.query["uid"]], int(request.query["after"])
        page = kept[after : after + 2]
        more = len(kept) > after + 2
        last = page[-1]["seq"] if more else len(kept)
        return web.json_response({"status": "success", "messages": page, "last": last, "more": more})
