"""The walk itself: a table that promises too much is found out."""

import pytest
from aiohttp import web

from examples.chat.service import answer
from examples.devmatch.system import EXAMPLE
from examples.standins.service import Surroundings, new_app
from tests.examples.standins.running import SECRET, running
from tests.examples.standins.walk import Line, filled, outsider_refused, stranger_refused, walk


def build(given: Surroundings) -> web.Application:
    async def login(_: web.Request) -> web.Response:
        return answer({"access_token": "t", "expires_in": 5})

    app = new_app(given)
    app.router.add_post("/auth/login", login)
    return app


async def test_what_is_not_as_the_table_says_is_told() -> None:
    names = ("USER", "TASK", "RECOMMENDATION", "PRESENCE")
    services = {f"{name}_SERVICE_URL": build for name in names} | {"ORCHESTRATOR_URL": build}
    login = ("POST", "/api/v1/auth/login")
    good = Line(*login, "public", 200, {"access_token": "t"}, keep={"token": "access_token"}, token="ada")
    wrong_status = Line(*login, "public", 201)
    wrong_shape = Line(*login, "public", 200, {"expires_in": str})
    not_closed = Line(*login, "user")
    async with running(EXAMPLE, services, {"JWT_SECRET": SECRET}) as example:
        walked = await walk(example, [good, wrong_status, wrong_shape])
        assert walked.problem(good) is None
        assert walked.kept == {"token": "t", "ada": "t"}
        assert example.tokens == {"ada": "t"}
        assert "200, not 201" in (walked.problem(wrong_status) or "")
        assert walked.problem(wrong_shape) == "answer.expires_in is 5, no str"
        assert await stranger_refused(walked, not_closed) is not None
        assert await outsider_refused(walked, not_closed) is not None


def test_names_are_filled_in_and_an_unknown_one_is_a_mistake_of_the_table() -> None:
    assert filled({"a": ["/x/{id}"], "b": 1}, {"id": "7"}) == {"a": ["/x/7"], "b": 1}
    with pytest.raises(AssertionError, match="nobody has kept that"):
        filled("/x/{id}", {})
