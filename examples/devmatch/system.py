"""DevMatch as a plan: the gateway and five services."""

from examples.standins.plan import Example, StandIn

EXAMPLE = Example(
    name="devmatch",
    title="DevMatch",
    port=8000,
    services=(
        StandIn("user-service", "examples.devmatch.users", secrets=("JWT_SECRET",)),
        StandIn("task-service", "examples.devmatch.tasks"),
        StandIn("recommendation-service", "examples.devmatch.matching"),
        StandIn("presence-service", "examples.devmatch.presence"),
        StandIn("orchestrator", "examples.devmatch.orchestrator"),
    ),
    secrets=("JWT_SECRET",),
    first_call=(
        "curl -s {url}/api/v1/auth/register -H 'Content-Type: application/json' "
        '-d \'{{"email":"ada@example.com","password":"correct horse"}}\''
    ),
)
