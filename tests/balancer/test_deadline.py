import pytest

from balancer.deadline import field_line, total_of


@pytest.mark.parametrize(
    ("route_s", "caller_s", "total_s"), [(60, 5, 5), (5, 60, 5), (60, 0, 0), (60, -1, -1)]
)
def test_a_caller_may_shorten_what_the_route_gives(route_s: float, caller_s: float, total_s: float) -> None:
    assert total_of(route_s, caller_s) == total_s


@pytest.mark.parametrize(("left_s", "value"), [(60, b"60000"), (1.2349, b"1234"), (0.0004, b"1"), (0, b"1")])
def test_what_is_left_is_told_in_milliseconds(left_s: float, value: bytes) -> None:
    assert field_line(left_s) == b"X-Request-Timeout-Ms: " + value + b"\r\n"
