"""The Grafana dashboards: as their code says, about what exists. `tests/alerts` evaluates them."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from deploy.grafana.__main__ import files
from deploy.grafana.alerts import alerts
from tests.support.dashboards import FILES, GRAFANA, REPOSITORY, Asked, panels, prometheus_queries
from tests.support.metric_catalogue import product_metrics
from tests.unit.deploy.test_compose import COMPOSE, services

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
    service = services(COMPOSE)["grafana"]
    mounts = {target: source for source, target, *_ in (it.split(":") for it in service["volumes"])}
    provisioning = GRAFANA / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "psastream.yml").read_text())[
        "providers"
    ]
    sources = yaml.safe_load((provisioning / "datasources" / "psastream.yml").read_text())

    assert REPOSITORY / mounts["/etc/grafana/provisioning"] == provisioning
    assert REPOSITORY / mounts[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert mounts["/usr/share/grafana/public/runbooks"] == "./docs/runbooks"
    assert [it["url"] for it in sources["datasources"]] == ["http://prometheus:9090"]
