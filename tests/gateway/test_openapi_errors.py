"""Errors by their statuses."""

import pytest

from gateway.errors import Reason, gateway_error
from gateway.openapi_errors import ANY, CARRIED, LIMITED, OF, WITH_A_BODY, by_status, error_answer


def test_reasons_stand_under_their_statuses_each_once() -> None:
    found = by_status([Reason.NO_ROUTE, Reason.BAD_PATH, Reason.NO_ROUTE, Reason.BAD_HOST])
    assert list(found.items()) == [(400, [Reason.BAD_PATH, Reason.BAD_HOST]), (404, [Reason.NO_ROUTE])]


@pytest.mark.parametrize("reason", [*ANY, *CARRIED, *LIMITED, *WITH_A_BODY, *OF["user"], *OF["internal"]])
def test_an_answer_says_when_it_is_given_and_which_headers_it_has(reason: Reason) -> None:
    error = gateway_error(reason)
    answer = error_answer(error.status, [reason])
    assert answer["description"] == f"`{reason.value}`: {error.message}"
    assert {name for name, _ in error.headers} <= answer.get("headers", {}).keys()
