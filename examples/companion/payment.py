"""payment-service: subscriptions, and tokens that pictures cost. Nobody pays anything here."""

from dataclasses import dataclass

from aiohttp import web

from examples.chat.service import answer
from examples.standins.peers import Peers
from examples.standins.service import Refusal, Surroundings, caller, new_app, only_services, read_body, serve

PLANS = [
    {"plan": "free", "price": 0, "requests_per_minute": 60},
    {"plan": "premium", "price": 9.99, "requests_per_minute": 120},
    {"plan": "elite", "price": 19.99, "requests_per_minute": None},
]
PAID = ("premium", "elite")
TOKENS = {"small": 50, "large": 250}
PRICES = {"small": 4.99, "large": 19.99}
KEPT = {"Cache-Control": "public, max-age=60"}
GIFT = 20
"""Tokens that everybody begins with."""
MOST_ACCOUNTS = 10_000


@dataclass(slots=True)
class Balance:
    plan: str = "free"
    tokens: int = GIFT


class Payments:
    def __init__(self, given: Surroundings, peers: Peers) -> None:
        self._key = given.key
        self._peers = peers
        self._balances: dict[str, Balance] = {}

    def _of(self, uid: str) -> Balance:
        if uid not in self._balances and len(self._balances) >= MOST_ACCOUNTS:
            raise Refusal(503, "this stand-in is full: start it anew")
        return self._balances.setdefault(uid, Balance())

    async def subscription(self, request: web.Request) -> web.Response:
        return answer({"plan": self._of(caller(request)).plan})

    async def subscribe(self, request: web.Request) -> web.Response:
        plan = (await read_body(request, {"plan": str}))["plan"]
        if plan not in PAID:
            raise Refusal(400, f"plan: must be one of {', '.join(PAID)}")
        return await self._change(caller(request), plan)

    async def cancel(self, request: web.Request) -> web.Response:
        return await self._change(caller(request), "free")

    async def _change(self, uid: str, plan: str) -> web.Response:
        """auth-service hears of it first: it is what tokens say that counts."""
        balance = self._of(uid)
        await self._peers.ask("POST", "auth-service", "/tiers", {"user_id": uid, "tier": plan})
        balance.plan = plan
        return answer({"plan": plan, "message": "Refresh your token: the new one says so"})

    async def tokens(self, request: web.Request) -> web.Response:
        return answer({"tokens": self._of(caller(request)).tokens})

    async def purchase(self, request: web.Request) -> web.Response:
        package = (await read_body(request, {"package": str}))["package"]
        if package not in TOKENS:
            raise Refusal(400, f"package: must be one of {', '.join(TOKENS)}")
        balance = self._of(caller(request))
        balance.tokens += TOKENS[package]
        return answer({"tokens": balance.tokens})

    async def charge(self, request: web.Request) -> web.Response:
        """media-service takes tokens for what somebody has asked for."""
        only_services(request, self._key)
        body = await read_body(request, {"user_id": str, "tokens": int})
        balance = self._of(body["user_id"])
        if not 0 <= body["tokens"] <= balance.tokens:
            raise Refusal(402, f"this costs {body['tokens']} tokens, and you have {balance.tokens}")
        balance.tokens -= body["tokens"]
        return answer({"tokens": balance.tokens})


async def plans(_: web.Request) -> web.Response:
    return answer({"plans": PLANS}, headers=KEPT)


async def packages(_: web.Request) -> web.Response:
    shown = [{"package": name, "tokens": TOKENS[name], "price": price} for name, price in PRICES.items()]
    return answer({"packages": shown}, headers=KEPT)


def build(given: Surroundings) -> web.Application:
    peers = Peers(given)
    payments = Payments(given, peers)
    app = new_app(given)
    app.cleanup_ctx.append(peers.lifetime)
    app.add_routes(
        [
            web.get("/payment/subscription", payments.subscription),
            web.post("/payment/subscribe", payments.subscribe),
            web.post("/payment/cancel-subscription", payments.cancel),
            web.get("/payment/tokens", payments.tokens),
            web.post("/payment/purchase-tokens", payments.purchase),
            web.get("/payment/plans", plans),
            web.get("/payment/token-packages", packages),
            web.post("/charges", payments.charge),
        ]
    )
    return app


if __name__ == "__main__":
    serve("payment-service", build, module="examples.companion.payment")
