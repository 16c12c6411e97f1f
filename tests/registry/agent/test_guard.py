import pytest

from registry.agent.guard import refusal


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8500",
        "localhost:8500",
        "LOCALHOST",
        "localhost.",
        "[::1]:8500",
        "10.0.0.7:8500",
        "127.0.0.1",
        None,
    ],
)
def test_addresses_and_localhost_may_ask(host: str | None) -> None:
    assert refusal(host, None, loopback=True) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example:8500", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a:b:c"],
)
def test_a_name_that_could_be_rebound_is_refused_on_loopback(host: str) -> None:
    assert "DNS rebinding" in (refusal(host, None, loopback=True) or "")


def test_a_name_is_fine_where_other_machines_ask() -> None:
    assert refusal("agent.internal:8500", None, loopback=False) is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:8500"])
@pytest.mark.parametrize("loopback", [True, False])
def test_web_pages_are_refused_everywhere(origin: str, loopback: bool) -> None:
    assert "Origin" in (refusal("127.0.0.1:8500", origin, loopback=loopback) or "")
