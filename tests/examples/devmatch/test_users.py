import jwt
import pytest

from examples.devmatch.users import build
from tests.examples.standins.clients import Alone, alone
from tests.examples.standins.running import SECRET

ADA = {"email": "ada@example.com", "password": "correct horse"}
PROFILE = {"name": "Ada", "skills": ["python"]}


async def ada(service: Alone) -> str:
    return str((await service.ask("POST", "/auth/register", ADA))[1]["user"]["id"])


async def test_a_developer_has_one_profile_and_changes_it_alone() -> None:
    async with alone(build) as service:
        uid = await ada(service)
        one = f"/users/developers/{uid}"
        assert (await service.ask("PUT", one, {"rate": 90}, who=uid))[0] == 404
        assert (await service.ask("POST", "/users/developers", PROFILE, who=uid))[0] == 201
        assert (await service.ask("POST", "/users/developers", PROFILE, who=uid))[0] == 409
        assert (await service.ask("PUT", one, {"rate": 90}, who="somebody else"))[0] == 403
        changed = {"user_id": uid, **PROFILE, "rate": 90}
        assert await service.ask("PUT", one, {"rate": 90}, who=uid) == (200, changed)
        assert await service.ask("GET", "/users/developers") == (200, {"developers": [changed]})


async def test_only_users_have_profiles() -> None:
    async with alone(build) as service:
        assert (await service.ask("POST", "/users/developers", PROFILE, who="nobody"))[0] == 404


async def test_tokens_last_as_many_hours_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_EXPIRATION_HOURS", "2")
    async with alone(build) as service:
        made = (await service.ask("POST", "/auth/register", ADA))[1]
        claims = jwt.decode(
            made["access_token"], SECRET, ["HS256"], {"verify_exp": False, "verify_iat": False}
        )
        assert (made["expires_in"], claims["exp"]) == (7200, int(service.clock.now) + 7200)
