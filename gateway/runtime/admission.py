"""Whether a caller may: who it is, how often it has called, and what it must have besides."""

from collections.abc import Callable

from gateway.client_address import internal_key_matches, is_internal, may_speak_for_a_page
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.identity import Rejected, Verifier, uid_problem
from gateway.limiters.base import Limiter
from gateway.limits import rate_headers, rules_for
from gateway.request_head import Counted
from gateway.runtime.exchange import Exchange
from gateway.runtime.places import Place
from gateway.runtime.rules import Rules
from gateway.windows import Rule


class Admission:
    """Judges the requests of every place that is not open to everybody, as often as they like."""

    def __init__(self, limiter: Limiter, unix_clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._unix_clock = unix_clock

    async def judge(self, exchange: Exchange, place: Place, rules: Rules) -> GatewayError | None:
        """`None` for a caller that may, and not too often; its user stands in the exchange afterwards."""
        if place.access == "internal":
            return None if _is_internal(exchange, rules) else gateway_error(Reason.FORBIDDEN)
        refused: GatewayError | None = None
        if place.access == "user":
            refused = self._identify(exchange, rules.verifier)
        if place.limited:
            # Who could not be identified counts too, by address: nobody guesses tokens for long.
            too_often = await self._count(exchange, place, rules)
            if too_often is not None:
                return too_often
        return refused

    def _identify(self, exchange: Exchange, verifier: Verifier | None) -> GatewayError | None:
        head = exchange.head
        token = head.token
        if token is None:
            return gateway_error(Reason.MISSING_TOKEN)
        if isinstance(token, Rejected):
            return token.error()
        if verifier is None:
            raise RuntimeError("a route needs users and no verifier was built")
        user = verifier.verify(token, self._unix_clock())
        if isinstance(user, Rejected):
            return user.error()
        if (mismatch := uid_problem(user, head.uids, exchange.target.query)) is not None:
            return mismatch.error()
        exchange.user = user
        return None

    async def _count(self, exchange: Exchange, place: Place, rules: Rules) -> GatewayError | None:
        windows = _windows(exchange, place, rules)
        verdict = await self._limiter.hit(windows) if windows else None
        if verdict is None:
            return None
        exchange.headers += rate_headers(verdict)
        return None if verdict.allowed else gateway_error(Reason.RATE_LIMITED)


def _windows(exchange: Exchange, place: Place, rules: Rules) -> tuple[Rule, ...]:
    head, route, user = exchange.head, place.route, exchange.user
    counted = head.counted
    if counted is None or counted.route is not route or counted.user is not user:
        windows = rules_for(rules.settings.limits, route, head.client, user)
        head.counted = counted = Counted(route, user, windows)
    return counted.rules


def _is_internal(exchange: Exchange, rules: Rules) -> bool:
    """Judged once for as long as a client repeats its headers and the host it asks."""
    head, host = exchange.head, exchange.target.host
    if head.internal is None or head.internal[0] != host:
        head.internal = (host, _judge_internal(exchange, rules))
    return head.internal[1]


def _judge_internal(exchange: Exchange, rules: Rules) -> bool:
    if internal_key_matches(exchange.header("X-Internal-Key"), rules.internal_key):
        return True
    host, origin, site = exchange.target.host, exchange.header("Origin"), exchange.header("Sec-Fetch-Site")
    if may_speak_for_a_page(exchange.client, host, origin, site):
        return False
    return is_internal(exchange.client, rules.settings.internal.networks)
