"""The Grafana dashboards: as their code says, about what exists. `tests/alerts` evaluates them."""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import files
from deploy.grafana.alerts import alerts
from deploy.grafana.parts import READ_MODEL as READ_MODEL_SOURCE
from tests.support.dashboards import FILES, REPOSITORY, Asked, panels, prometheus_queries
from tests.support.metric_catalogue import product_metrics
from tests.unit.deploy.test_compose import COMPOSE, services

READ_MODEL = REPOSITORY / "deploy" / "compose" / "read-model.yml"
# What Prometheus and its Python client provide, with the labels that the queries name.
PLATFORM = {
    "up": {"job", "instance"},
    "process_start_time_seconds": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate", "severity"},
}
OURS = {name: {*it.labels, "instance", "le"} for it in product_metrics() for name in it.series}
KNOWN = {**PLATFORM, **OURS}
WHERE_NAMES_ARE_KNOWN = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Metrics of an expression, with the matchers of each."""
    for metric, inside in re.findall(
        r"\b(psastream_\w+|process_\w+|up|ALERTS)(\{[^}]*\})?", expression
    ):
        yield metric, dict(re.findall(r'(\w+)=~?"([^"]*)"', inside))


def grouped(asked: Asked) -> set[str]:
    """Labels that a query keeps or joins by, or that its legend shows."""
    inside = re.findall(r"\b(?:by|on) \(([^)]*)\)", asked.expr)
    names = {name.strip() for each in inside for name in each.split(",") if name.strip()}
    return names | set(re.findall(r"\{\{(\w+)\}\}", asked.legend))


def test_the_files_are_what_the_code_builds() -> None:
    written = {path.name: path.read_text() for path in FILES}

    assert written == files(), "run: python -m deploy.grafana"


@WHERE_NAMES_ARE_KNOWN
def test_a_query_names_metrics_and_labels_that_exist(path: Path) -> None:
    for asked in prometheus_queries(path):
        found = list(selectors(asked.expr))
        assert found, asked
        for metric, matchers in found:
            assert matchers.keys() <= KNOWN[metric], asked
            assert metric == "ALERTS" or matchers["instance"] == "$instance", asked
        assert grouped(asked) <= set().union(*(KNOWN[metric] for metric, _ in found)), asked


def test_every_metric_of_the_product_is_on_a_dashboard() -> None:
    shown = {
        metric
        for path in FILES
        for asked in prometheus_queries(path)
        for metric, _ in selectors(asked.expr)
    }

    assert [it.name for it in product_metrics() if not it.series & shown] == []


@WHERE_NAMES_ARE_KNOWN
def test_a_panel_says_what_it_means_and_has_a_place_of_its_own(path: Path) -> None:
    shown = panels(path)
    assert len({panel["title"] for panel in shown}) == len(shown)
    assert len({panel["id"] for panel in shown}) == len(shown)
    for panel in shown:
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations((panel["gridPos"] for panel in shown), 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )


def test_every_runbook_of_an_alert_is_linked_from_a_panel() -> None:
    linked = {
        link["url"].removeprefix("${runbooks}/")
        for path in FILES
        for panel in panels(path)
        for link in panel.get("links", ())
    }

    assert linked == {it.runbook for it in alerts().values()}
    assert all((REPOSITORY / "docs" / "runbooks" / name).is_file() for name in linked)


def test_a_line_is_where_its_alert_fires() -> None:
    assert alerts()["PsastreamLagHigh"].bound == 10_000
    assert alerts()["PsastreamProgressStalled"].bound == 300
    assert alerts()["PsastreamQuotaLow"].bound == 0.3
    assert alerts()["PsastreamTargetPaused"].bound == 1


def test_compose_gives_grafana_its_sources_and_its_dashboards() -> None:
    mounts = mounted(COMPOSE)
    provisioned = "/etc/grafana/provisioning"
    [provider] = provisioned_at(mounts[f"{provisioned}/dashboards/psastream.yml"])["providers"]
    sources = provisioned_at(mounts[f"{provisioned}/datasources/psastream.yml"])["datasources"]
    folder = provider["options"]["path"]

    assert [it["url"] for it in sources] == ["http://prometheus:9090"]
    assert mounts["/usr/share/grafana/public/runbooks"] == "./docs/runbooks"
    assert shown_in(folder, mounts) == {"psastream-operations.json"}
    assert shown_in(folder, mounts | mounted(READ_MODEL)) == {path.name for path in FILES}


def test_with_a_read_model_grafana_signs_in_by_what_compose_names() -> None:
    service = services(READ_MODEL)["grafana"]
    source = provisioned_at("deploy/grafana/read-model.yml")["datasources"][0]
    named = set(re.findall(r"\$(READ_MODEL_\w+)", str(source)))

    assert source["type"] == READ_MODEL_SOURCE.type_val
    assert named == set(service["environment"])
    assert f"/run/secrets/{service['secrets'][0]}" in source["secureJsonData"]["password"]


def mounted(path: Path) -> dict[str, str]:
    """Files of the repository that Grafana has, by where it has them."""
    return {
        target: source
        for source, target, *_ in (it.split(":") for it in services(path)["grafana"]["volumes"])
    }


def provisioned_at(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / name).read_text())
    return found


def shown_in(folder: str, mounts: Mapping[str, str]) -> set[str]:
    """Names of the files of dashboards in a folder, each of which is one of the repository."""
    found = {target: source for target, source in mounts.items() if target.startswith(folder)}
    assert all((REPOSITORY / source).name == Path(target).name for target, source in found.items())
    assert all((REPOSITORY / source).is_file() for source in found.values())
    return {Path(target).name for target in found}
