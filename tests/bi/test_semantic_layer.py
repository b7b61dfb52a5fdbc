"""What `mf query` answers on the read model of a demo, against the sums of its topics.

The demo has compared the topics with the firm's books; parts are killed in its middle. What the
page shows is run in `test_tutorial.py`.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.bi.conftest import CENT, DEADLINE_S, Sums, Told, at_two_digits, booked, sums
from tests.support.taps import installed

pytestmark = pytest.mark.stack

PROJECT = Path(__file__).parents[2] / "deploy" / "dbt"


@dataclass(frozen=True)
class Layer:
    """The semantic layer of one demo, and the rows of its topics."""

    folder: Path
    environment: Mapping[str, str]
    told: Told

    def run(self, program: str, *words: str) -> str:
        command = [str(installed("mf", "bi").with_name(program)), *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def query(self, metric: str, *group_by: str) -> Sums:
        """Return a metric by its groups, at two digits; groups without a value are left out."""
        answer = self.folder / "answer.csv"
        self.run(
            "mf", "query", "--metrics", metric, "--group-by", ",".join(group_by), "--csv",
            str(answer),
        )  # fmt: skip
        with answer.open() as file:
            rows = list(csv.DictReader(file))
        return {
            tuple(row[name] for name in group_by): Decimal(row[metric]).quantize(CENT)
            for row in rows
            if row[metric]
        }


@pytest.fixture(scope="module")
def layer(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Layer:
    database = conninfo_to_dict(told.database)
    folder = tmp_path_factory.mktemp("dbt") / "project"
    shutil.copytree(PROJECT, folder)
    found = Layer(
        folder,
        {
            "READ_MODEL_HOST": str(database["host"]),
            "READ_MODEL_PORT": str(database["port"]),
            "READ_MODEL_USER": str(database["user"]),
            "READ_MODEL_DATABASE": str(database["dbname"]),
            "DBT_PROFILES_DIR": str(folder),
        },
        told,
    )
    assert "ERROR=0" in found.run("dbt", "build")
    return found


def month(row: Mapping[str, Any]) -> str:
    return f"{row['period']}-01"


def day_first(key: Sequence[str]) -> tuple[str, ...]:
    """The day of an instant, as MetricFlow writes months and weeks."""
    return (key[0][:10], *key[1:])


@pytest.mark.parametrize("metric", ["revenue", "cost", "margin"])
def test_money_by_month_and_currency_is_that_of_the_topics(layer: Layer, metric: str) -> None:
    found = layer.query(metric, "metric_time__month", "margin_row__currency")
    wanted = sums(
        ((month(row), row["currency"]), row[metric])
        for row in layer.told.rows("psa.metric.project_margin")
    )
    assert len(wanted) > 2
    assert {day_first(key): value for key, value in found.items()} == at_two_digits(wanted)


def test_a_margin_ratio_is_that_of_the_sums(layer: Layer) -> None:
    rows = [
        row for row in layer.told.rows("psa.metric.project_margin") if row["margin"] is not None
    ]
    margin = sums(((row["currency"],), row["margin"]) for row in rows)
    revenue = sums(((row["currency"],), row["revenue"]) for row in rows)
    wanted = {key: margin[key] / revenue[key] for key in margin if revenue[key]}
    assert layer.query("margin_ratio", "margin_row__currency") == at_two_digits(wanted)


def test_utilization_by_week_is_that_of_the_sums(layer: Layer) -> None:
    def monday(row: Mapping[str, Any]) -> tuple[str, ...]:
        year, week = row["iso_week"].split("-W")
        return (date.fromisocalendar(int(year), int(week), 1).isoformat(),)

    rows = booked(layer.told.rows("psa.metric.utilization"))
    billable = sums((monday(row), Decimal(row["billable_seconds"])) for row in rows)
    available = sums((monday(row), row["available_hours"] * 3600) for row in rows)
    wanted = {key: billable[key] / available[key] for key in available}
    found = layer.query("utilization_ratio", "metric_time__week")
    assert {day_first(key): value for key, value in found.items()} == at_two_digits(wanted)


def test_billing_by_state_and_currency_is_that_of_the_topics(layer: Layer) -> None:
    found = layer.query("billing_amount", "billing_row__state", "billing_row__currency")
    wanted = sums(
        ((row["state"], row["currency"]), row["amount"])
        for row in layer.told.rows("psa.status.billing")
    )
    assert found == at_two_digits(wanted)


def test_time_by_status_is_that_of_the_topics(layer: Layer) -> None:
    found = layer.query("worked_seconds", "time_entry_row__status")
    wanted = sums(
        ((row["status"],), Decimal(row["seconds"])) for row in layer.told.rows("psa.time_entry")
    )
    assert found == at_two_digits(wanted)


def test_time_by_person_has_everybodys_name(layer: Layer) -> None:
    """A PSA names people by their addresses; the resource tool knows whose they are."""
    names = {
        row["address_id"]: row["name"]
        for row in layer.told.rows("psa.resource")
        if row["address_id"] is not None
    }
    wanted = sums(
        ((names[row["resource_id"]],), Decimal(row["seconds"]))
        for row in layer.told.rows("psa.time_entry")
    )
    assert len(wanted) > 5
    assert layer.query("worked_seconds", "time_entry_row__person") == at_two_digits(wanted)
