"""`/admin/tokens/revoke`: an operator takes a token out of use, before it expires."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.identity import Rejected
from gateway.openapi_answers import Revoked
from gateway.openapi_operations import Operation, Told
from gateway.revocation import RevokeMessage, jti_id
from gateway.runtime.endpoints.endpoint import Endpoint, read_message
from gateway.runtime.exchange import Exchange
from gateway.runtime.identities import Identities
from gateway.runtime.reply import Reply, json_reply
from registry.runtime.clock import unix_now

PATH = "/admin/tokens/revoke"
EXPIRED = "expires_at: is over, so the token is good no more as it is: give the Unix second when it expires"
NOT_GOOD = "The token is not good here, or not any more: there is nothing to revoke."

REVOKE = Operation(
    "A token is good no more",
    {200: Told("It is refused here from now on.", Revoked)},
    "POST",
    takes=RevokeMessage,
    errors=(Reason.IDENTITY_UNAVAILABLE,),
)


@dataclass(slots=True)
class TokensAdminEndpoint:
    identities: Identities
    unix_clock: Callable[[], float] = unix_now

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint(PATH, ("POST",), "internal", self.revoke, operations=(REVOKE,))]

    async def revoke(self, exchange: Exchange) -> Reply | GatewayError:
        """Refused at this gateway from now on; `everywhere` says whether the others know it, too."""
        message = await read_message(exchange, RevokeMessage)
        if isinstance(message, GatewayError):
            return message
        if message.expires_at is not None and message.expires_at <= self.unix_clock():
            return gateway_error(Reason.BAD_PARAMETER, message=EXPIRED)
        found = await self._named(message)
        if isinstance(found, Rejected):
            if found.reason is Reason.IDENTITY_UNAVAILABLE:
                return found.error()
            return gateway_error(Reason.BAD_PARAMETER, message=NOT_GOOD)
        token_id, until = found
        everywhere = await self.identities.revoke_id(token_id, until)
        return json_reply({"status": "revoked", "until": until, "everywhere": everywhere})

    async def _named(self, message: RevokeMessage) -> tuple[str, float] | Rejected:
        if message.token is not None:
            return await self.identities.to_revoke(message.token, self.unix_clock())
        assert message.jti is not None
        assert message.expires_at is not None
        return jti_id(message.jti), message.expires_at
