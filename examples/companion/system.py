"""The companion app as a plan: the gateway and five services."""

from examples.standins.plan import Example, StandIn

EXAMPLE = Example(
    name="companion",
    title="The companion app",
    port=8000,
    services=(
        StandIn("auth-service", "examples.companion.auth", secrets=("JWT_SECRET_KEY",)),
        StandIn("chat-service", "examples.companion.chat"),
        StandIn("ai-service", "examples.companion.ai"),
        StandIn("media-service", "examples.companion.media"),
        StandIn("payment-service", "examples.companion.payment"),
    ),
    secrets=("JWT_SECRET_KEY",),
    first_call=(
        "curl -s {url}/api/v1/auth/register -H 'Content-Type: application/json' "
        '-d \'{{"username":"john_doe","email":"john@example.com","password":"SecurePass123","age":25}}\''
    ),
)
