import pytest

from examples.organisations.auth import build
from examples.organisations.org_endpoints import allowed, role_of
from examples.organisations.organisations import Denied, Role
from examples.standins.service import Refusal
from tests.examples.standins.clients import alone


@pytest.mark.parametrize(
    ("denied", "status"),
    [
        (Denied.NO_ORGANISATION, 404),
        (Denied.NOT_A_MEMBER, 403),
        (Denied.NOT_A_MANAGER, 403),
        (Denied.THE_OWNER_STAYS, 409),
    ],
)
def test_each_denial_has_its_status_and_says_why(denied: Denied, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        allowed(denied)
    assert (refused.value.status, refused.value.message) == (status, denied.value)
    assert allowed("found") == "found"


def test_a_role_is_one_of_three() -> None:
    assert role_of("admin") is Role.ADMIN
    with pytest.raises(Refusal) as refused:
        role_of("king")
    assert refused.value.message == "role: must be one of owner, admin, member"


async def test_services_are_told_of_organisations_that_there_are() -> None:
    async with alone(build) as service:
        for path in ("/auth/org/o1", "/auth/org/o1/members"):
            assert (await service.ask("GET", path))[0] == 404
