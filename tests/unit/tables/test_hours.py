"""What one time entry contributes to the measures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tables.foundation.documents import Documents
from tables.measures.billing_status import BILLING
from tables.measures.fold import Fold
from tables.measures.margin import MARGIN
from tables.measures.measure import Measure
from tables.measures.utilization import UTILIZATION
from tables.project.billing import open_seconds
from tables.project.hours import contributions
from tests.support.topology import MemoryState

ROW: dict[str, Any] = {
    "id": "e",
    "project_ref": "p",
    "resource_id": "r",
    "work_on": date(2026, 11, 2),
    "hours": Decimal("7.50"),
    "seconds": None,
    "bill_rate": Decimal("100.3333"),
    "cost_rate": Decimal("40.0000"),
    "currency": "EUR",
    "status": "approved",
    "is_billable": True,
    "source_position": 5,
    "is_known": True,
    "is_in_erp": True,
    "is_hourly": True,
    "is_paid": True,
    "billed": None,
    "invoiced": None,
    "is_locked": None,
    "sign": 1,
}
TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "hours": pl.Decimal(9, 2),
    "seconds": pl.Int64,
    "bill_rate": pl.Decimal(18, 4),
    "cost_rate": pl.Decimal(18, 4),
    "billed": pl.String,
    "invoiced": pl.Int64,
    "is_locked": pl.Boolean,
    "currency": pl.String,
    "is_billable": pl.Boolean,
    "is_hourly": pl.Boolean,
    "is_paid": pl.Boolean,
}


def rows(*changed: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{**ROW, **each} for each in changed], schema_overrides=TYPES)


@dataclass(frozen=True)
class Found:
    """What measures add up: the parts of each key, and its sums."""

    margin: pl.DataFrame
    utilization: pl.DataFrame
    billing: pl.DataFrame


def found_in(entries: pl.DataFrame) -> Found:
    signed = contributions(entries)

    def of(measure: Measure) -> pl.DataFrame:
        fold = Fold(measure, Documents(MemoryState()))
        fold.add_hours(signed)
        schema = [*measure.key, *measure.sums]
        found = [(*total.key.split("|"), *total.after) for total in fold.settle()]
        kinds = dict.fromkeys(measure.sums, pl.Int128) | dict.fromkeys(measure.key, pl.String)
        return pl.DataFrame(found, schema=schema, schema_overrides=kinds, orient="row")

    return Found(of(MARGIN), of(UTILIZATION), of(BILLING))


@pytest.mark.parametrize(
    ("work_on", "period", "week"),
    [
        (date(2026, 11, 30), "2026-11", "2026-W49"),
        (date(2026, 12, 1), "2026-12", "2026-W49"),
        (date(2026, 12, 31), "2026-12", "2026-W53"),
        (date(2027, 1, 1), "2027-01", "2026-W53"),
        (date(2027, 1, 4), "2027-01", "2027-W01"),
    ],
)
def test_months_and_iso_weeks(work_on: date, period: str, week: str) -> None:
    found = found_in(rows({"work_on": work_on}))
    assert (found.margin["period"][0], found.utilization["iso_week"][0]) == (period, week)


def test_money_is_seconds_times_rate_undivided() -> None:
    margin = found_in(rows({})).margin.row(0, named=True)
    assert (margin["seconds"], margin["charged"], margin["cost"]) == (
        27_000,
        27_000 * 1_003_333,
        27_000 * 400_000,
    )


@pytest.mark.fault("C21", place="tables/project/hours.py")
def test_c21_seconds_count_and_not_their_rounded_hours() -> None:
    margin = found_in(rows({"hours": Decimal("0.83"), "seconds": 3_000})).margin
    assert margin["seconds"].to_list() == [3_000]


@pytest.mark.fault("C21", place="tables/project/hours.py")
def test_c21_sums_of_money_go_beyond_64_bits() -> None:
    """A year of a firm at 1.5 million dong an hour."""
    days = [{"seconds": 86_400, "bill_rate": Decimal(1_500_000), "currency": "VND"}] * 10_000
    margin = found_in(rows(*days)).margin
    assert margin["charged"].to_list() == [10_000 * 86_400 * 15_000_000_000]


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"is_billable": False, "billed": "transferred"}, "non_billable"),
        ({"is_hourly": False, "billed": "transferred"}, "covered"),
        ({"is_billable": None}, "non_billable"),
        ({"billed": "written_off", "is_in_erp": False}, "written_off"),
        ({"billed": "transferred", "is_locked": True}, "transferred"),
        ({"is_locked": True}, "blocked"),
        ({}, "ready"),
        ({"is_in_erp": False}, "blocked"),
        ({"bill_rate": None}, "blocked"),
        ({"currency": None}, "blocked"),
    ],
)
def test_billing_state(changed: dict[str, Any], state: str) -> None:
    assert found_in(rows(changed)).billing["state"].to_list() == [state]


@pytest.mark.fault("C7", place="tables/project/hours.py")
@pytest.mark.parametrize(
    ("seconds", "invoiced", "still_open", "entries"),
    [
        (28_800, None, 28_800, 1),
        (28_800, 18_000, 10_800, 1),
        (28_800, 28_800, 0, 0),
        (28_800, 57_600, 0, 0),
        (28_800, -3_600, 28_800, 1),
        (-28_800, None, -28_800, 1),
        (-28_800, -18_000, -10_800, 1),
        (-28_800, -57_600, 0, 0),
        (-28_800, 28_800, -28_800, 1),
        (0, None, 0, 1),
        (0, 28_800, 0, 0),
        (-1, -1, 0, 0),
        (1, 1, 0, 0),
    ],
)
def test_what_is_open_lies_between_nothing_and_all(
    seconds: int, invoiced: int | None, still_open: int, entries: int
) -> None:
    found = found_in(rows({"seconds": seconds, "invoiced": invoiced})).billing
    assert found.select("seconds", "amount", "entries").row(0) == (
        still_open,
        still_open * 1_003_333,
        entries,
    )
    assert open_seconds(seconds, invoiced or 0) == still_open


@pytest.mark.fault("C6", place="connectors/vendors/inhouse/mapping.yaml")
def test_c6_fourteen_hours_and_a_correction_of_eight_are_six() -> None:
    found = found_in(rows({"seconds": 14 * 3_600}, {"seconds": -8 * 3_600}))
    assert found.margin["seconds"].to_list() == [6 * 3_600]
    assert found.margin["charged"].to_list() == [6 * 3_600 * 1_003_333]
    assert found.utilization["seconds"].to_list() == [6 * 3_600]
    assert found.billing["seconds"].to_list() == [6 * 3_600]


@pytest.mark.parametrize("changed", [{"status": "submitted"}, {"is_known": False}])
def test_what_does_not_count(changed: dict[str, Any]) -> None:
    found = found_in(rows(changed))
    assert found.margin.is_empty()
    assert found.utilization.is_empty()
    assert found.billing.is_empty()


def test_a_row_and_its_retraction_cancel_out() -> None:
    found = found_in(rows({}, {"sign": -1}))
    assert found.margin.select("seconds", "charged", "cost").row(0) == (0, 0, 0)
    assert found.billing.select("seconds", "amount", "entries").row(0) == (0, 0, 0)


def test_an_entry_without_time_or_rates_comes_to_nothing() -> None:
    unknown = {"hours": None, "seconds": None}
    for changed in (unknown, {"bill_rate": None, "cost_rate": None}):
        margin = found_in(rows(changed)).margin
        assert margin.select("charged", "cost").row(0) == (0, 0)
    assert found_in(rows(unknown)).margin["seconds"].to_list() == [0]


def test_currencies_are_never_added() -> None:
    found = found_in(rows({}, {"currency": "USD"}))
    assert sorted(found.margin["currency"]) == ["EUR", "USD"]


def test_hours_without_a_currency_have_the_code_for_none() -> None:
    assert found_in(rows({"currency": None})).margin["currency"].to_list() == ["XXX"]


@pytest.mark.parametrize("term", ["is_paid", "is_hourly"])
def test_terms_that_nobody_knows_are_those_of_a_customer_who_pays_by_the_hour(term: str) -> None:
    known, unknown = (found_in(rows({term: value})) for value in (True, None))
    assert unknown.margin.equals(known.margin)
    assert unknown.billing.equals(known.billing)
    assert known.billing.select("amount").item() > 0
