import pytest

from balancer.zones import has_room, local
from registry.model import Instance, InstanceId, ServiceName


def instance(n: int, zone: str) -> Instance:
    return Instance(InstanceId(f"i{n}"), ServiceName("s"), "h", 1000 + n, "127.0.0.1", zone=zone)


NEAR, FAR, TOO = instance(1, "a"), instance(2, "b"), instance(3, "a")


def test_the_own_zone_with_its_weights() -> None:
    near = local([NEAR, FAR, TOO], [1, 2, 0.5], "a")
    assert near is not None
    assert (near.instances, near.weights, near.total) == ((NEAR, TOO), (1, 0.5), 1.5)


@pytest.mark.parametrize(
    ("zone", "instances"),
    [("", [NEAR, FAR]), ("c", [NEAR, FAR]), ("a", [NEAR, TOO]), ("a", [])],
    ids=["unset", "nobody", "nobody else", "empty"],
)
def test_where_a_zone_makes_no_difference_there_is_none(zone: str, instances: list[Instance]) -> None:
    assert local(instances, [1.0] * len(instances), zone) is None


def test_a_zone_where_all_are_new_or_ask_for_less_does_not_come_first() -> None:
    assert local([NEAR, FAR, TOO], [0.1, 1, 0.5], "a") is None, "they would get all that they are spared"
    assert local([NEAR, FAR, TOO], [0.1, 1, 1], "a") is not None


def test_room_is_for_each_unit_of_weight() -> None:
    assert has_room(load=15, weight=1, room=16)
    assert not has_room(load=16, weight=1, room=16)
    assert has_room(load=16, weight=2, room=16)
