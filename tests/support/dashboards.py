"""The committed Grafana dashboards, and Prometheus answering their queries."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from psastream.read_model.star import star_views

REPOSITORY = Path(__file__).resolve().parents[2]
GRAFANA = REPOSITORY / "deploy" / "grafana"
FILES = sorted(GRAFANA.glob("dashboards/*.json"))
# What Grafana puts in place of its variables: all processes, and a rate's time for scrapes of 15 s.
VALUES = {"$instance": ".*", "$__rate_interval": "5m"}
CHOSEN = {
    "$__timeFrom()": "'2026-01-01T00:00:00Z'",
    "$__timeTo()": "'2026-12-31T23:59:59Z'",
    "${currency:sqlstring}": "'EUR'",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of a panel; `legend` is what Grafana shows of the labels."""

    panel: str
    expr: str
    legend: str

    @property
    def promql(self) -> str:
        text = self.expr
        for name, value in VALUES.items():
            text = text.replace(name, value)
        return text


def panels(path: Path) -> list[dict[str, Any]]:
    """Panels of a dashboard's file, without those that only begin a row."""
    return [it for it in json.loads(path.read_text())["panels"] if it["type"] != "row"]


def prometheus_queries(path: Path) -> list[Asked]:
    """Queries to Prometheus, in the order of the panels."""
    return [
        Asked(panel["title"], target["expr"], target.get("legendFormat", ""))
        for panel in panels(path)
        for target in panel["targets"]
        if "expr" in target
    ]


def promtool() -> str:
    """Path of promtool; skips without it, fails without it where real parts are required."""
    found = shutil.which(os.environ.get("PSASTREAM_TEST_PROMTOOL", "promtool"))
    if found is None:
        reason = "promtool is missing: install Prometheus, or name it in PSASTREAM_TEST_PROMTOOL"
        if os.environ.get("PSASTREAM_TEST_REQUIRE_REAL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def answers_differ(
    series: Iterable[Mapping[str, str]],
    expected: Iterable[tuple[str, Mapping[str, float]]],
    folder: Path,
) -> str:
    """What Prometheus answers differently an hour after `series` began; empty: nothing.

    `expected` has a query and its samples, value by labels; `folder` takes promtool's file.
    """
    file = folder / "queries.test.yml"
    tests = [
        {
            "expr": expr,
            "eval_time": "1h",
            "exp_samples": [{"labels": labels, "value": it} for labels, it in samples.items()],
        }
        for expr, samples in expected
    ]
    group = {"interval": "1m", "input_series": list(series), "promql_expr_test": tests}
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [group]}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def scraped(page: str, instance: str) -> Iterator[dict[str, str]]:
    """Series of a page of `/metrics`, each as if it had had its value for an hour."""
    yield {"series": f'up{{job="psastream-{instance}", instance="{instance}"}}', "values": "1x60"}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            job = {"job": f"psastream-{instance}", "instance": instance}
            labels = (f"{name}={json.dumps(it)}" for name, it in (sample.labels | job).items())
            series = f"{sample.name}{{{', '.join(labels)}}}"
            # not `x60`, which promtool does not read after `inf`
            yield {"series": series, "values": " ".join([f"{sample.value:.10g}"] * 61)}


def something(queries: Iterable[Asked]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """That each query finds at least one series: a panel never says `No data`."""
    for asked in queries:
        yield f"count({asked.promql}) > bool 0", {"{}": 1.0}


@dataclass(frozen=True, slots=True)
class AskedInSql:
    """A query of a panel to the read model. `is_number`: the panel shows one value."""

    panel: str
    text: str
    is_number: bool


def sql_queries(path: Path) -> list[AskedInSql]:
    """Queries to the read model, with what Grafana puts in place of its variables."""
    return [
        AskedInSql(panel["title"], chosen(target["rawSql"]), panel["type"] == "stat")
        for panel in panels(path)
        for target in panel["targets"]
        if "rawSql" in target
    ]


def as_views(query: str) -> str:
    """A query to the read model as one to the views of `psastream sql`, which hold the same."""
    for view in star_views():
        query = query.replace(f"psa.{view.name}", view.like or view.name)
    return query


def chosen(text: str) -> str:
    """A query for the year 2026 and euros."""
    for name, value in CHOSEN.items():
        text = text.replace(name, value)
    return text
