"""The queries of the dashboards, answered by Prometheus from recorded series: `make alerts`."""

import math
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tests.support.dashboards import FILES, GRAFANA, answers_differ, prometheus_queries, scraped

ASKING = [path for path in FILES if prometheus_queries(path)]


@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.stem)
def test_queries_of_a_dashboard_make_of_recorded_series_what_its_panels_say(
    path: Path, tmp_path: Path
) -> None:
    recorded = yaml.safe_load(
        (GRAFANA / "tests" / f"{path.stem.removeprefix('psastream-')}.yml").read_text()
    )
    asked = prometheus_queries(path)
    expected = [(title, it) for title, each in recorded["panels"].items() for it in each]

    assert [it.panel for it in asked] == [title for title, _ in expected]
    pairs = zip(asked, expected, strict=True)
    answers = [(query.promql, samples) for query, (_, samples) in pairs]
    differences = answers_differ(recorded["series"], answers, tmp_path)
    assert not differences, differences


def test_what_never_ends_is_asked_for_as_a_process_shows_it(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    for name, value in (("never", math.inf), ("always", -math.inf), ("unknown", math.nan)):
        Gauge(name, name, registry=registry).set(value)
    series = list(scraped(generate_latest(registry).decode(), "worker"))
    asked = [
        ("never > bool 1e300", {'{instance="worker", job="psastream-worker"}': 1.0}),
        ("always < bool -1e300", {'{instance="worker", job="psastream-worker"}': 1.0}),
        ("unknown == bool unknown", {'{instance="worker", job="psastream-worker"}': 0.0}),
    ]
    differences = answers_differ(series, asked, tmp_path)
    assert not differences, differences
