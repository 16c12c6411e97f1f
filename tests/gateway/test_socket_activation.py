"""What a service manager says of the sockets it has opened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.socket_activation import PassedSocket, passed_sockets

US = {"LISTEN_PID": "42", "LISTEN_FDS": "2"}


def test_sockets_follow_the_standard_streams() -> None:
    assert passed_sockets(US, 42) == (PassedSocket(3, ""), PassedSocket(4, ""))


def test_they_may_have_names() -> None:
    named = {**US, "LISTEN_FDNAMES": "http:metrics"}
    assert passed_sockets(named, 42) == (PassedSocket(3, "http"), PassedSocket(4, "metrics"))


@pytest.mark.parametrize("environment", [{}, {**US, "LISTEN_PID": "43"}, {"LISTEN_FDS": "2"}])
def test_those_of_another_process_are_not_ours(environment: dict[str, str]) -> None:
    assert passed_sockets(environment, 42) == ()


@pytest.mark.parametrize("count", ["", "two", "-1", "1.5", "²"])
def test_a_number_that_is_none_is_said(count: str) -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS"):
        passed_sockets({**US, "LISTEN_FDS": count}, 42)


def test_names_for_other_sockets_are_said() -> None:
    with pytest.raises(ValueError, match="3 names for 2 sockets"):
        passed_sockets({**US, "LISTEN_FDNAMES": "a:b:c"}, 42)


@given(st.dictionaries(st.sampled_from(["LISTEN_FDS", "LISTEN_FDNAMES"]), st.text(max_size=5)))
def test_nonsense_is_a_value_error_or_nothing(said: dict[str, str]) -> None:
    try:
        found = passed_sockets({"LISTEN_PID": "42", **said}, 42)
    except ValueError:
        return
    assert len(found) == int(said["LISTEN_FDS"])
