"""The dashboard of `deploy/superset`, imported into a real Superset: what its charts show.

Each chart is asked as the browser does, over the API, and compared with the sums of the topics.
"""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from sandbox.stack.ports import HIGHEST_PORT, HOST, LOWEST_PORT, is_free
from tests.bi.conftest import CENT, DEADLINE_S, Sums, Told, at_two_digits, is_healthy, sums
from tests.support.eventually import eventually
from tests.support.taps import installed

pytestmark = pytest.mark.stack

BUNDLE = Path(__file__).parents[2] / "deploy" / "superset"
USER = {"username": "admin", "password": "admin"}


@dataclass(frozen=True)
class Charts:
    """A Superset that has the dashboard, and the rows of the topics that it is about."""

    url: str
    told: Told
    headers: Mapping[str, str]

    def ask(self, name: str, metric: str) -> Sums:
        """Return what a chart shows of a metric, by its groups, at two digits."""
        asked = f"{self.url}/api/v1/dashboard/psastream/charts"
        found = requests.get(asked, headers=self.headers, timeout=60).json()["result"]
        [chart] = [each for each in found if each["slice_name"] == name]
        form = chart["form_data"]
        number, kind = form["datasource"].split("__")
        having = " AND ".join(it["sqlExpression"] for it in form["adhoc_filters"])
        query = {
            "columns": form["groupby"], "metrics": form["metrics"], "row_limit": form["row_limit"],
            "filters": [], "orderby": [], "extras": {"having": having},
        }  # fmt: skip
        answer = requests.post(
            f"{self.url}/api/v1/chart/data",
            json={"datasource": {"id": int(number), "type": kind}, "queries": [query],
                  "result_format": "json", "result_type": "full", "force": True},
            headers=self.headers,
            timeout=120,
        )  # fmt: skip
        assert answer.ok, answer.text
        return {
            tuple(str(row[column]) for column in form["groupby"]): Decimal(
                str(row[metric])
            ).quantize(CENT)
            for row in answer.json()["result"][0]["data"]
            if row[metric] is not None
        }


@pytest.fixture(scope="module")
def charts(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Charts]:
    home = tmp_path_factory.mktemp("superset")
    program = str(installed("superset", "bi"))
    environment = {
        **os.environ,
        "SUPERSET_HOME": str(home),
        "SUPERSET_SECRET_KEY": "of-a-test-that-is-thrown-away-at-its-end",
        "FLASK_APP": "superset",
    }

    def run(*words: str) -> None:
        done = subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, timeout=DEADLINE_S,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    run("db", "upgrade")
    run(
        "fab", "create-admin", "--username", USER["username"], "--password", USER["password"],
        "--firstname", "a", "--lastname", "b", "--email", "a@b.invalid",
    )  # fmt: skip
    run("init")
    run("import-dashboards", "-p", str(bundle(home, told.database)), "-u", USER["username"])
    port = next(port for port in range(LOWEST_PORT, HIGHEST_PORT) if is_free(port))
    url = f"http://{HOST}:{port}"
    with (home / "superset.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "run", "-h", HOST, "-p", str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        eventually(lambda: is_healthy(url), deadline_s=DEADLINE_S)
        signed = requests.post(
            f"{url}/api/v1/security/login", json={**USER, "provider": "db"}, timeout=60
        ).json()
        yield Charts(url, told, {"Authorization": f"Bearer {signed['access_token']}"})
    finally:
        process.terminate()
        process.wait(60)


def bundle(folder: Path, database: str) -> Path:
    """Zip the bundle as Superset imports it, with the address of a read model."""
    path = folder / "bundle.zip"
    address = database.replace("postgresql:", "postgresql+psycopg2:")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(BUNDLE.rglob("*.yaml")):
            text = file.read_text()
            if file.parent.name == "databases":
                text = re.sub(r"(?m)^sqlalchemy_uri: .*$", f"sqlalchemy_uri: {address}", text)
            archive.writestr(f"psastream/{file.relative_to(BUNDLE)}", text)
    return path


@pytest.mark.parametrize("metric", ["revenue", "cost", "margin"])
def test_the_chart_of_margins_shows_the_sums_of_the_topics(charts: Charts, metric: str) -> None:
    wanted = sums(
        ((row["period"], row["currency"]), row[metric])
        for row in charts.told.rows("psa.metric.project_margin")
    )
    assert len(wanted) > 2
    assert charts.ask("Margin by month", f"{metric}_sum") == at_two_digits(wanted)


def test_the_chart_of_utilization_shows_the_ratio_of_the_sums(charts: Charts) -> None:
    rows = [
        row
        for row in charts.told.rows("psa.metric.utilization")
        if row["utilization_ratio"] is not None
    ]
    billable = sums(((row["iso_week"],), Decimal(row["billable_seconds"])) for row in rows)
    available = sums(((row["iso_week"],), row["available_hours"] * 3600) for row in rows)
    wanted = {key: billable[key] / available[key] for key in available if billable[key]}
    assert charts.ask("Utilization by week", "utilization") == at_two_digits(wanted)


def test_the_chart_of_billing_shows_the_sums_of_the_topics(charts: Charts) -> None:
    wanted = sums(
        ((row["state"], row["currency"]), row["amount"])
        for row in charts.told.rows("psa.status.billing")
    )
    assert charts.ask("Money by billing state", "amount_sum") == at_two_digits(wanted)


def test_the_chart_of_what_waits_shows_open_exceptions(charts: Charts) -> None:
    waiting = [row for row in charts.told.rows("psa.exception") if row["status"] == "open"]
    wanted = sums(
        ((row["system"], str(row["error_code"]), str(row["currency"])), Decimal(1))
        for row in waiting
    )
    assert charts.ask("What waits for a person", "exceptions") == at_two_digits(wanted)
