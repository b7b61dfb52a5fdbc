"""The alert rules: complete, about metrics that exist, documented. `tests/alerts` tries them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metric_catalogue import product_metrics

REPOSITORY = Path(__file__).resolve().parents[3]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("rules/*.rules.yml"))
TEST_FILES = sorted(PROMETHEUS.glob("tests/*.test.yml"))

# What Prometheus and its Python client provide for every process.
PLATFORM_METRICS = {"up", "process_start_time_seconds"}
METRIC_NAME = re.compile(r"\b(?:psastream[_:][\w:]+|process_\w+|up)\b")


def all_rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def rules() -> list[dict[str, Any]]:
    """Those that fire."""
    return [rule for rule in all_rules() if "alert" in rule]


def recorded() -> set[str]:
    """Names of the series that rules record."""
    return {rule["record"] for rule in all_rules() if "record" in rule}


def named(rule: dict[str, Any]) -> str:
    return str(rule.get("alert", rule.get("record")))


def metrics_of(expression: str) -> set[str]:
    """Metric names of an expression; what is quoted is a label's value."""
    return set(METRIC_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].strip()
    assert (REPOSITORY / rule["annotations"]["runbook"]).is_file()


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    assert all(name.startswith("Psastream") for name in names)


@pytest.mark.parametrize("rule", all_rules(), ids=named)
def test_a_rule_is_about_series_that_exist(rule: dict[str, Any]) -> None:
    exposed = {series for family in product_metrics() for series in family.series}
    used = metrics_of(rule["expr"])

    assert used
    assert used <= exposed | PLATFORM_METRICS | recorded()


def test_every_recorded_series_is_used() -> None:
    used = {name for rule in all_rules() for name in metrics_of(rule["expr"])}

    assert recorded() <= used


def test_every_alert_is_shown_to_fire_by_a_promtool_test() -> None:
    fired = {
        case["alertname"]
        for path in TEST_FILES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in rules()}


def test_every_job_an_alert_names_is_scraped_and_every_job_is_missed() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    scraped = {job["job_name"] for job in config["scrape_configs"]}
    named = {job for rule in rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])}

    assert named and named <= scraped
    [down] = [rule["expr"] for rule in rules() if rule["alert"] == "PsastreamProcessDown"]
    missed = re.compile(re.search(r'job=~"([^"]+)"', down)[1])  # type: ignore[index]
    assert all(missed.fullmatch(job) for job in scraped)
