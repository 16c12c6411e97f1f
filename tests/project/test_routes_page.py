"""docs/routes.md: its examples are settings, its tables are what happens, and no key is missing."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from gateway.queries import QueryChanges
from gateway.routes import Match, RouteTable
from gateway.settings import RouteSettings, Settings, load_settings
from gateway.shaping import public_path, with_public_location
from registry.model import Instance, InstanceId, ServiceName
from tests.project.source import ROOT

PAGE = (ROOT / "docs" / "routes.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SERVICES = ("auth", "items", "orders", "pages", "posts", "shop", "shop-v1", "users")
ONE = Instance(InstanceId("one"), ServiceName("s"), "10.0.0.5", 8080, "10.0.0.5")


def table(title: str) -> list[list[str]]:
    """The cells of the table whose head begins so, without their backticks."""
    lines = PAGE.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(title)) + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def route(path: str, more: str) -> RouteSettings:
    settings = yaml.safe_load(more) or {}
    return RouteSettings.model_validate({"path": path, "service": "s", "access": "public", **settings})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[1].strip())
def test_an_example_is_valid(example: str) -> None:
    document = {
        "identity": {"secret": "a secret of the page, long enough"},
        "services": {name: {} for name in SERVICES},
        "handlers": None,
        **yaml.safe_load(example),
    }
    loaded = load_settings(json.dumps(document), environment={})
    assert isinstance(loaded, Settings), str(loaded)


@pytest.mark.parametrize(("path", "more", "came", "goes"), table("| path of the route | and | came"))
def test_what_goes_upstream(path: str, more: str, came: str, goes: str) -> None:
    of = route(path, more)
    target, mark, query = came.partition("?")
    found = RouteTable([of]).resolve("GET", target)
    assert isinstance(found, Match)
    assert found.upstream_target(QueryChanges(set(of.remove_query), of.set_query).of(mark + query)) == goes


@pytest.mark.parametrize(
    ("path", "more", "said", "gets"), table("| path of the route | and | an instance says")
)
def test_where_an_instance_sends_clients(path: str, more: str, said: str, gets: str) -> None:
    shaped = with_public_location([(b"Location", said.encode())], ONE, public_path(route(path, more)))
    assert shaped == [(b"Location", gets.encode())]


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Of a route, and of the sections that are its own."""
    for name, field in model.model_fields.items():
        yield name
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind)


def test_every_key_of_a_route_is_told_of() -> None:
    of_services: set[Any] = {"connect_s", "idle_s", "tunnel_idle_s"}
    told = set(re.findall(r"\w+", PAGE))
    assert set(keys(RouteSettings)) - of_services <= told
