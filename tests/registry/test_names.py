import pytest

from registry.names import is_registrable_id, is_service_name


@pytest.mark.parametrize("name", ["auth", "a", "0", "websocket-handler", "v1.auth_service", "A" * 128])
def test_names_that_services_have(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "../../kv/secret", "..", ".auth", "-auth", "_auth", "a/b", "a b", "auth\n", "auth\x00",
        "auth?dc=x", "a%2fb", "\u0430uth", "é", "\uff11", "a" * 129,
    ],
)  # fmt: skip
def test_a_name_that_could_leave_its_place_in_a_path_is_none(name: str) -> None:
    assert not is_service_name(name)


@pytest.mark.parametrize("name", ["auth-1", "127.0.0.1:9001", "web@node-1", "x" * 255])
def test_ids_that_may_be_registered(name: str) -> None:
    assert is_registrable_id(name)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a?b", "a#b", "a b", "a\n", "x" * 256])
def test_an_id_that_could_leave_its_place_in_a_path_is_refused(name: str) -> None:
    assert not is_registrable_id(name)
