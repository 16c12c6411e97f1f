import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.names import instance_id, is_registrable_id, is_service_name


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


@pytest.mark.parametrize(
    ("host", "id"),
    [
        ("node-1.internal", "web-node-1.internal-80"),
        ("127.0.0.1", "web-127.0.0.1-80"),
        ("::1", "web-::1-80"),
        ("jo's laptop", "web-jo-s-laptop-80"),
        ("b\u00fcro", "web-b-ro-80"),
    ],
)
def test_an_id_of_its_own_says_what_and_where(host: str, id: str) -> None:
    assert instance_id("web", host, 80) == id


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True), st.text(max_size=300))
def test_whatever_the_machine_is_called_its_id_may_be_registered(name: str, host: str) -> None:
    assert is_registrable_id(instance_id(name, host, 65535))
