import pytest
from multidict import CIMultiDict

from gateway.versions import Versions

VERSIONS = Versions("X-API-Version", {"1": "one", "2.0": "two"}, "default")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ([], "default"),
        (["1"], "one"),
        (["2.0"], "two"),
        (["2"], None),
        ([""], None),
        (["1, 2.0"], None),
        (["1", "2.0"], None),
        (["1", "1"], None),
    ],
)
def test_what_a_request_wants(asked: list[str], wanted: str | None) -> None:
    headers = CIMultiDict([("x-api-version", value) for value in asked])
    assert VERSIONS.wanted(headers) == wanted
