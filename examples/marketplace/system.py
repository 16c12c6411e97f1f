"""The marketplace as a plan: the gateway and five services."""

from examples.standins.plan import Example, StandIn

EXAMPLE = Example(
    name="marketplace",
    title="The marketplace",
    port=8080,
    services=(
        StandIn("user-service", "examples.marketplace.users", secrets=("JWT_SECRET_KEY",)),
        StandIn("notification-service", "examples.marketplace.notifications"),
        StandIn("freelance-service", "examples.marketplace.freelance"),
        StandIn("content-service", "examples.marketplace.content"),
        StandIn("marketplace-service", "examples.marketplace.goods"),
    ),
    secrets=("JWT_SECRET_KEY",),
    first_call=(
        "curl -s {url}/api/users/ -H 'Content-Type: application/json' "
        '-d \'{{"email":"ada@example.com","password":"correct horse"}}\''
    ),
)
