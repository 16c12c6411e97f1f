"""deploy/prometheus and deploy/grafana: by promtool, and beside what a real gateway shows."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.gateway.runtime.gateways import ask, gateway
from tests.project.source import ROOT
from tests.servers import find_program

FOLDER = ROOT / "deploy/prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/dashboards/quaymaster.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]

THEIRS = {"up"}
"""Series that Prometheus makes itself."""
BY_PROMETHEUS = {"job", "instance", "exported_instance", "le"}
"""Labels that it adds; ours named `instance` becomes the third."""
GRAFANAS = {"$__rate_interval": "5m", "$job": "quaymaster", "$gateway": ".*", "$service": ".*"}

_STRING = re.compile(r'"[^"]*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_NAME = re.compile(r"\b(?<![$\d])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "by", "without", "bool"}


def rules(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / name).read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


RECORDED = {rule["record"]: rule["expr"] for rule in rules("recording.yml")}
ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
TESTS = yaml.safe_load((FOLDER / "tests.yml").read_text())["tests"]


def expressions() -> Iterator[str]:
    yield from RECORDED.values()
    for alert in ALERTS.values():
        yield alert["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield filled(target["expr"])
    for variable in VARIABLES:
        if variable["type"] == "query":
            yield re.sub(
                r"label_values\((.*), (\w+)\)", r"count by (\2) (\1)", filled(variable["query"]["query"])
            )


def filled(expression: str) -> str:
    """With what Grafana would fill in."""
    for variable, value in GRAFANAS.items():
        expression = expression.replace(variable, value)
    return expression


def names_in(expression: str) -> set[str]:
    """The series that an expression asks for."""
    text = _GROUPING.sub(" ", _STRING.sub("''", expression))
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", text)
    return {name for name in _NAME.findall(text) if name not in _WORDS}


def base(name: str) -> str:
    """Of a histogram's series, the histogram."""
    return re.sub(r"_(?:bucket|sum|count)$", "", name)


def promtool(*arguments: str) -> str:
    ran = subprocess.run(
        [find_program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_prometheus_takes_its_configuration() -> None:
    assert "2 rule files found" in promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", "tests.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_test_in_which_it_fires_one_in_which_it_is_silent_and_a_paragraph(name: str) -> None:
    tests = [one for test in TESTS for one in test["alert_rule_test"] if one["alertname"] == name]
    assert {bool(one["exp_alerts"]) for one in tests} == {True, False}
    assert ALERTS[name]["labels"]["severity"] in ("critical", "warning")
    assert f"`{name}`" in (ROOT / "docs/observability.md").read_text()


def test_the_parts_of_an_expression_are_told_apart() -> None:
    text = (
        'sum by (job, le) (rate(a_bucket{c=~"5..|b", d!="e"}[5m])) / on (f) group:f:rate5m > 0.5 and up == 0'
    )
    assert names_in(text) == {"a_bucket", "group:f:rate5m", "up"}


@pytest.fixture(scope="module")
def readme_labels() -> dict[str, set[str]]:
    """Series and their labels, as README lists them; test_metrics.py holds that it lists all."""
    rows = re.findall(
        r"^\| (`(?:quaymaster|gateway)_.*?) \| (.*?) \|", (ROOT / "README.md").read_text(), re.M
    )
    return {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }


async def test_what_is_asked_for_is_what_a_gateway_shows(readme_labels: dict[str, set[str]]) -> None:
    async with gateway() as running:
        await ask(running.port, "GET", "/open/a")
        scraped = (await ask(running.port, "GET", "/metrics")).body.decode()
    shown = set(re.findall(r"^# TYPE (\S+)", scraped, re.M))
    asked: set[str] = set()
    for expression in expressions():
        asked |= names_in(expression)
        for name, matchers in _MATCHERS.findall(expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", _STRING.sub("''", matchers)))
            assert (
                labels <= readme_labels.get(base(name), BY_PROMETHEUS | {"route", "service"}) | BY_PROMETHEUS
            )
        grouped = {label.strip() for found in _GROUPING.findall(expression) for label in found.split(",")}
        known = {label for name in names_in(expression) for label in readme_labels.get(base(name), ())}
        assert grouped <= known | BY_PROMETHEUS | {"service", "route"}
    assert len(asked) > 40
    assert {base(name) for name in asked} - THEIRS - RECORDED.keys() <= shown


def test_every_recorded_series_is_used() -> None:
    used = {name for expression in expressions() for name in names_in(expression)}
    assert RECORDED.keys() <= used


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    source = VARIABLES[0]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for panel in PANELS:
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    known = {variable["name"] for variable in VARIABLES}
    text = json.dumps([panel["targets"] for panel in PANELS])
    assert set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"} <= known


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards/quaymaster.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    (targets,) = [config["targets"] for job in scraped for config in job["static_configs"]]
    assert set(targets) == {f"{name}:8000" for name in compose if name.startswith("gateway-")}
