import pytest

from examples.standins.plan import Example, StandIn, plan

EXAMPLE = Example(
    name="shop",
    title="A shop",
    port=8000,
    services=(StandIn("users", "shop.users", ("JWT_SECRET",)), StandIn("goods", "shop.goods")),
    secrets=("INTERNAL_SERVICE_KEY",),
    first_call="curl {url}/",
)
SECRETS = {"JWT_SECRET": "j" * 32, "INTERNAL_SERVICE_KEY": "k" * 32, "OTHER": "o"}


def test_the_gateway_comes_first_and_the_stand_ins_on_the_ports_behind_it() -> None:
    gateway, *services = plan(EXAMPLE, 9000, SECRETS, python="python")
    assert gateway.argv[:6] == ("python", "-m", "gateway", "serve", "--config", str(EXAMPLE.settings))
    assert {"listen.port=9000", "registry.address=127.0.0.1:9050"} <= set(gateway.argv)
    assert gateway.health_url == "http://127.0.0.1:9000/health/live"
    assert [service.name for service in services] == ["users-1", "goods-1"]
    assert services[1].argv == (
        "python", "-m", "shop.goods", "--port", "9012", "--consul", "127.0.0.1:9050",
        "--id", "goods-1", "--gateway", "http://127.0.0.1:9000",
    )  # fmt: skip
    assert services[1].health_url == "http://127.0.0.1:9000/get_service_instance?service_name=goods"


def test_each_process_gets_the_secrets_it_needs_and_none_on_its_command_line() -> None:
    specs = plan(EXAMPLE, 9000, SECRETS)
    assert [set(spec.env) for spec in specs] == [{"INTERNAL_SERVICE_KEY"}, {"JWT_SECRET"}, set()]
    assert EXAMPLE.all_secrets == ["INTERNAL_SERVICE_KEY", "JWT_SECRET"]
    words = " ".join(word for spec in specs for word in spec.argv)
    assert not any(secret in words for secret in ("j" * 32, "k" * 32))
    with pytest.raises(KeyError):
        plan(EXAMPLE, 9000, {})


@pytest.mark.parametrize("port", [0, -1, 65486])
def test_a_port_without_room_behind_it_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="the gateway's port must be from 1 to 65485"):
        plan(EXAMPLE, port, SECRETS)
