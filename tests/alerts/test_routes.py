"""Who is told of each alert, asked of Alertmanager's own tool: `make alerts`."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
CONFIG = PROMETHEUS / "alertmanager.yml"
ALERTS = {
    rule["alert"]: rule["labels"]
    for path in sorted(PROMETHEUS.glob("rules/*.rules.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
ROUTES = {"critical": "pager", "warning": "chat", "info": "digest"}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("amtool")
    if found is None:
        if os.environ.get("PSASTREAM_TEST_REQUIRE_REAL"):
            pytest.fail("amtool is not installed")
        pytest.skip("amtool is not installed (apt-get install prometheus-alertmanager)")
    return subprocess.run(
        [found, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_alertmanager_accepts_its_configuration() -> None:
    done = amtool("check-config", str(CONFIG))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("alert", "labels"), ALERTS.items(), ids=list(ALERTS))
def test_an_alert_reaches_whom_its_severity_and_audience_name(
    alert: str, labels: dict[str, str]
) -> None:
    expected = {ROUTES[labels["severity"]]} | ({"finance"} & {labels.get("audience")})
    given = [f"{name}={value}" for name, value in {"alertname": alert, **labels}.items()]
    done = amtool("config", "routes", "test", f"--config.file={CONFIG}", *given)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.strip().split(",")) == expected


def test_what_is_silenced_by_another_alert_names_alerts_that_there_are() -> None:
    rules: list[dict[str, Any]] = yaml.safe_load(CONFIG.read_text())["inhibit_rules"]
    matchers = [it for rule in rules for it in rule["source_matchers"] + rule["target_matchers"]]
    named = {name for matcher in matchers for name in re.findall(r"Psastream\w+", matcher)}
    assert named
    assert named <= ALERTS.keys()
    # What fires while something is down, and is about something else, must be heard.
    critical = {name for name, labels in ALERTS.items() if labels["severity"] == "critical"}
    silenced = {
        name
        for rule in rules
        for matcher in rule["target_matchers"]
        for name in re.findall(r"Psastream\w+", matcher)
    }
    assert silenced & critical <= {
        "PsastreamProgressStalled", "PsastreamSourceSilent", "PsastreamInvoicesStale",
    }  # fmt: skip
