"""Organisations as a plan: the gateway and auth-service."""

from examples.standins.plan import Example, StandIn

EXAMPLE = Example(
    name="organisations",
    title="The gateway of organisations",
    port=8002,
    services=(StandIn("auth-service", "examples.organisations.auth", secrets=("JWT_SECRET",)),),
    secrets=("INTERNAL_SERVICE_KEY",),
    first_call=(
        "curl -s {url}/v1/client/sign-up -H 'Content-Type: application/json' "
        '-d \'{{"email":"ada@example.com","password":"correct horse"}}\''
    ),
)
