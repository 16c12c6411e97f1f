"""What holds for each example that has stand-ins: its plan, its settings and its README fit together."""

import argparse
import runpy
import sys
from typing import Any

import pytest
import yaml

from examples.companion.system import EXAMPLE as COMPANION
from examples.devmatch.system import EXAMPLE as DEVMATCH
from examples.marketplace.system import EXAMPLE as MARKETPLACE
from examples.organisations.system import EXAMPLE as ORGANISATIONS
from examples.standins.plan import Example, plan
from gateway.settings import Problems, Settings, load_settings
from tests.servers import ROOT

EXAMPLES = [COMPANION, DEVMATCH, MARKETPLACE, ORGANISATIONS]
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)

ENVIRONMENT = {
    "companion": (
        *("JWT_SECRET_KEY", "POSTGRES_URL", "REDIS_URL", "AUTH_SERVICE_URL", "CHAT_SERVICE_URL"),
        *("AI_SERVICE_URL", "MEDIA_SERVICE_URL", "PAYMENT_SERVICE_URL", "DEBUG"),
    ),
    "devmatch": (
        *("GATEWAY_HOST", "GATEWAY_PORT", "USER_SERVICE_URL", "TASK_SERVICE_URL"),
        *("RECOMMENDATION_SERVICE_URL", "PRESENCE_SERVICE_URL", "REDIS_URL", "JWT_SECRET"),
        *("RATE_LIMIT_REQUESTS", "RATE_LIMIT_WINDOW"),
    ),
    "marketplace": (
        *("JWT_SECRET_KEY", "REDIS_URL", "USER_SERVICE_URL", "NOTIFICATION_SERVICE_URL"),
        *("FREELANCE_SERVICE_URL", "CONTENT_SERVICE_URL", "MARKETPLACE_SERVICE_URL"),
        *("RATE_LIMIT_REQUESTS", "RATE_LIMIT_WINDOW", "CORS_ALLOWED_ORIGINS", "ALLOWED_HOSTS"),
    ),
    "organisations": ("AUTH_SERVICE_URL", "INTERNAL_SERVICE_KEY", "DATABASE_URL"),
}
"""What the users of each gateway set."""

NOT_OURS = {
    "companion": ("SECRET_KEY",),
    "devmatch": ("JWT_EXPIRATION_HOURS", "NATS_URL"),
    "marketplace": ("DEBUG", "SECRET_KEY", "REDIS_HOST", "REDIS_PORT"),
    "organisations": ("KAFKA_BOOTSTRAP_SERVERS",),
}
"""What they set too, and the gateway has no use for: the README says why."""


def secrets_of(example: Example) -> dict[str, str]:
    return dict.fromkeys(example.all_secrets, "s" * 48)


def document(example: Example) -> Any:
    return yaml.safe_load(example.settings.read_text())


def readme(example: Example) -> str:
    return example.settings.with_name("README.md").read_text()


@each
def test_the_plan_starts_every_service_of_the_settings(example: Example) -> None:
    assert {service.service for service in example.services} == document(example)["services"].keys()


@each
def test_the_settings_need_nothing_but_the_secrets_and_without_them_say_so(example: Example) -> None:
    text = example.settings.read_text()
    read = load_settings(text, environment=secrets_of(example))
    assert isinstance(read, Settings), str(read)
    assert not read.fixed_addresses()
    assert read.listen.port == example.port
    without = load_settings(text, environment={})
    # Organisations ask auth-service about tokens: their gateway has no key for them.
    assert isinstance(without, Settings) is (example is ORGANISATIONS)
    if isinstance(without, Problems):
        assert str(without).startswith("identity.secret: is not set")


@each
def test_the_settings_hold_no_secret(example: Example) -> None:
    settings = load_settings(example.settings.read_text(), environment=secrets_of(example))
    assert isinstance(settings, Settings)
    for secret in (settings.identity.secret, settings.internal.key):
        assert secret is None or secret.get_secret_value() == "s" * 48


@each
def test_a_service_is_called_at_its_url_once_that_is_set(example: Example) -> None:
    names = [name for name in ENVIRONMENT[example.name] if name.endswith("_SERVICE_URL")]
    urls = {name: f"http://127.0.0.1:{9000 + n}" for n, name in enumerate(names)}
    settings = load_settings(example.settings.read_text(), environment={**secrets_of(example), **urls})
    assert isinstance(settings, Settings), str(settings)
    assert {url for addresses in settings.fixed_addresses().values() for url in addresses} == {*urls.values()}


@each
def test_what_the_users_of_that_gateway_set_is_used_and_told_of(example: Example) -> None:
    text, page = example.settings.read_text(), readme(example)
    assert [name for name in ENVIRONMENT[example.name] if f"${{{name}:-" not in text] == []
    names = ENVIRONMENT[example.name] + NOT_OURS[example.name]
    assert [name for name in names if f"`{name}`" not in page] == []


@each
def test_the_programs_take_the_arguments_that_are_planned(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command lines, read by the programs' own parsers: nothing is started."""
    started: list[tuple[str, argparse.Namespace]] = []
    monkeypatch.setattr(
        "examples.chat.service.serve", lambda _app, name, options: started.append((name, options))
    )
    secrets = secrets_of(example)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    specs = plan(example, 9000, secrets)[1:]
    for spec, service in zip(specs, example.services, strict=True):
        assert spec.argv[1:3] == ("-m", service.module)
        monkeypatch.setattr(sys, "argv", [service.module, *spec.argv[3:]])
        monkeypatch.delitem(sys.modules, service.module, raising=False)
        runpy.run_module(service.module, run_name="__main__")
    assert [name for name, _ in started] == [service.service for service in example.services]
    assert [options.id for _, options in started] == [spec.name for spec in specs]


@each
def test_the_page_says_how_to_start_it_and_where_its_files_are(example: Example) -> None:
    page, folder = readme(example), example.settings.parent
    assert f"python -m examples.{example.name}" in page
    files = [path.name for path in folder.iterdir() if path.suffix in (".py", ".yaml")]
    assert [name for name in files if not name.startswith("__") and f"]({name})" not in page] == []


def test_all_examples_are_listed() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    folders = [path.parent.name for path in (ROOT / "examples").glob("*/*") if path.suffix in (".py", ".js")]
    assert [name for name in sorted({*folders}) if f"({name}/" not in page] == []
