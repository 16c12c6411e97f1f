"""Whether a caller may: who it is, how often it has called, and what it must have besides."""

from collections.abc import Callable, Sequence

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.identity import Rejected
from gateway.limiters.base import Limiter
from gateway.limits import DEGRADED, LimitPlan, kind_of, rate_headers, rules_for, too_often
from gateway.request_head import Counted
from gateway.runtime.exchange import Exchange
from gateway.runtime.identities import Identities
from gateway.runtime.internal_callers import is_internal_call
from gateway.runtime.metrics import Metrics
from gateway.runtime.places import Place
from gateway.runtime.rules import Rules
from gateway.windows import Rule, Verdict

LIMITS_UNAVAILABLE = gateway_error(Reason.LIMITS_UNAVAILABLE)


class Admission:
    """Judges the requests of every place that is not open to everybody, as often as they like."""

    def __init__(
        self, identities: Identities, limiter: Limiter, metrics: Metrics, unix_clock: Callable[[], float]
    ) -> None:
        self._identities = identities
        self._limiter = limiter
        self._metrics = metrics
        self._unix_clock = unix_clock

    async def judge(self, exchange: Exchange, place: Place, rules: Rules) -> GatewayError | None:
        """`None` for a caller that may, and not too often; its user stands in the exchange afterwards."""
        if place.access == "internal":
            inside = is_internal_call(exchange, rules.settings.internal.networks, rules.internal_key)
            return None if inside else gateway_error(Reason.FORBIDDEN)
        refused: GatewayError | None = None
        if place.access == "user" and not self._knows(exchange, place):
            if place.limits is not None and self._identities.asks_issuer:
                # A made-up token would be a question, also of an address that is refused anyway.
                windows = _windows(exchange, place.limits)
                verdict = self._limiter.refusal(windows)
                if verdict is not None:
                    return self._too_often(exchange, verdict, windows, rules)
            refused = await self._identify(exchange, place)
        if place.limits is not None:
            # Who could not be identified counts too, by address: nobody guesses tokens for long.
            windows = _windows(exchange, place.limits)
            verdict = await self._limiter.hit(windows)
            if verdict is not None:
                uncounted = self._counted(exchange, verdict, windows, rules)
                if uncounted is not None:
                    return uncounted
        if place.require is not None and exchange.user is not None:
            lacking = place.require.lacking(exchange.user)
            return None if lacking is None else gateway_error(lacking)
        return refused

    def _knows(self, exchange: Exchange, place: Place) -> bool:
        """Whether the caller was identified before, which is nearly always."""
        user = self._identities.known(exchange.head, exchange.target.query, self._unix_clock())
        if user is None:
            return False
        exchange.user, exchange.revokes = user, place.revokes
        return True

    async def _identify(self, exchange: Exchange, place: Place) -> GatewayError | None:
        head, query, now = exchange.head, exchange.target.query, self._unix_clock()
        token = head.token
        if token is None:
            return gateway_error(Reason.MISSING_TOKEN)
        if isinstance(token, Rejected):
            return token.error()
        found = await self._identities.judge(head, query, now)
        if isinstance(found, Rejected):
            return found.error()
        exchange.user, exchange.revokes = found, place.revokes
        return None

    def _counted(
        self, exchange: Exchange, verdict: Verdict, windows: Sequence[Rule], rules: Rules
    ) -> GatewayError | None:
        """What comes of a verdict: `None` for a request that is not too many."""
        self._metrics.limiter_degraded = verdict.degraded
        if verdict.degraded and rules.fail_mode != "share":
            exchange.degraded = True
            exchange.headers += (DEGRADED,)
            return LIMITS_UNAVAILABLE if rules.fail_mode == "closed" else None
        exchange.degraded = verdict.degraded
        if not verdict.allowed:
            return self._too_often(exchange, verdict, windows, rules)
        exchange.headers += rate_headers(verdict, windows, rules.rate_style, self._unix_clock())
        return None

    def _too_often(
        self, exchange: Exchange, verdict: Verdict, windows: Sequence[Rule], rules: Rules
    ) -> GatewayError:
        exchange.headers += rate_headers(verdict, windows, rules.rate_style, self._unix_clock())
        exchange.refused_by, exchange.refused_for_s = kind_of(verdict.rule), verdict.reset_s
        self._metrics.rate_limited(exchange.refused_by)
        return too_often(verdict)


def _windows(exchange: Exchange, plan: LimitPlan) -> tuple[Rule, ...]:
    head, user = exchange.head, exchange.user
    counted = head.counted
    if counted is None or counted.plan is not plan or counted.user is not user:
        head.counted = counted = Counted(plan, user, rules_for(plan, head.client, user))
    return counted.rules
