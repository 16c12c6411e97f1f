from typing import Any

import jwt
import pytest

from examples.organisations.auth import build
from tests.examples.standins.clients import Alone, alone

ADA = {"email": "ada@example.com", "password": "correct horse"}


async def signed_up(service: Alone) -> tuple[str, str]:
    """Id and access token."""
    made = (await service.ask("POST", "/v1/client/sign-up", ADA))[1]
    return made["user"]["id"], made["access_token"]


async def test_a_token_is_valid_until_its_session_ends() -> None:
    async with alone(build) as service:
        uid, token = await signed_up(service)
        status, said = await service.ask("GET", f"/auth/validate?token={token}")
        assert (status, said["sub"], said["roles"]) == (200, uid, [])
        async with service.client.post(
            "/v1/client/logout", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert answer.status == 200
        assert (await service.ask("GET", f"/auth/validate?token={token}"))[0] == 401


async def test_the_token_of_an_owner_says_which_organisation_and_that() -> None:
    async with alone(build) as service:
        uid, token = await signed_up(service)
        headers = {"Authorization": f"Bearer {token}", "X-User-Id": uid}
        async with service.client.post("/v1/org", json={"name": "Harbour"}, headers=headers) as answer:
            made = await answer.json()
        claims = jwt.decode(made["access_token"], options={"verify_signature": False})
        assert (claims["org"], claims["roles"]) == (made["id"], ["owner"])


async def test_what_somebody_may_follows_their_role_in_the_active_organisation() -> None:
    async with alone(build) as service:

        async def as_user(token: str, uid: str, method: str, path: str, **body: str) -> Any:
            headers = {"Authorization": f"Bearer {token}", "X-User-Id": uid}
            async with service.client.request(method, path, json=body, headers=headers) as answer:
                return await answer.json() if answer.content_length else None

        uid, token = await signed_up(service)
        org = (await as_user(token, uid, "POST", "/v1/org", name="Harbour"))["id"]
        bob = (await service.ask("POST", "/v1/client/sign-up", {**ADA, "email": "bob@example.com"}))[1]
        mine = (bob["access_token"], bob["user"]["id"])
        invited = await as_user(token, uid, "POST", f"/v1/org/{org}/invite", email="bob@example.com")
        await as_user(*mine, "POST", "/v1/invite/accept", invitation=invited["invitation"])

        async def roles() -> list[str]:
            return list((await service.ask("GET", f"/auth/validate?token={mine[0]}"))[1]["roles"])

        member = f"/v1/org/{org}/member/{mine[1]}"
        assert await roles() == []
        await as_user(*mine, "PATCH", "/v1/client/switch-org", org_id=org)
        assert await roles() == ["member"]
        await as_user(token, uid, "PATCH", f"{member}/role", role="admin")
        assert await roles() == ["admin"]
        await as_user(token, uid, "DELETE", member)
        assert await roles() == []


@pytest.mark.parametrize("body", [{}, {"refresh_token": "no token"}])
async def test_nobody_logs_out_without_a_token(body: dict[str, str]) -> None:
    async with alone(build) as service:
        assert (await service.ask("POST", "/v1/client/logout", body))[0] == 401


async def test_nobody_switches_to_what_they_do_not_belong_to() -> None:
    async with alone(build) as service:
        uid, _ = await signed_up(service)
        status, said = await service.ask("PATCH", "/v1/client/switch-org", {"org_id": "o1"}, who=uid)
        assert (status, said["message"]) == (404, "there is no such organisation")
