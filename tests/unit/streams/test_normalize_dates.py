"""Days of a database that are no days: infinite ones, which PostgreSQL keeps in a date."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from schemas.codec.columnar import frame_dtypes
from streams.engine import Accounting
from tests.support.catalogue import contract_of
from tests.unit.streams.test_normalize import Bench, canonical, entry, letters

PLACE = "schemas/mapping/reader.py"
INFINITY = -2_147_472_692
MINUS_INFINITY = -2_147_472_691
NEWER_INFINITY = 2_146_033_979  # of later versions of Debezium
# By the driver's date, which depends on the zone of the process; run with Debezium 3.3.1.
INFINITY_IN_SNAPSHOTS = (-622_191_234, -622_191_233)
MINUS_INFINITY_IN_SNAPSHOTS = (-625_821_272, -625_821_271)


def project(**changes: Any) -> dict[str, Any]:
    row = {"id": 4, "name": "Grid", "opportunity_ref": "006000000000001AAA", "country_code": "de"}
    days = {"starts_on": 20_543, "ends_on": 20_550}
    return {**row, "currency": "eur", "status": "active", **days, **changes}


def fed(**changes: Any) -> tuple[Bench, Any]:
    bench = Bench("src.inhouse.projects")
    schema = bench.source.change(1, project(**changes))
    return bench, bench.feed(schema)


@pytest.mark.fault("B1", place=PLACE)
@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("ends_on", INFINITY),
        ("ends_on", NEWER_INFINITY),
        ("starts_on", MINUS_INFINITY),
        *(("ends_on", days) for days in INFINITY_IN_SNAPSHOTS),
        *(("starts_on", days) for days in MINUS_INFINITY_IN_SNAPSHOTS),
    ],
)
def test_b1_an_infinite_end_is_no_end_and_an_infinite_start_no_start(field: str, days: int) -> None:
    (record,) = canonical(fed(**{field: days})[1], "project")
    assert record.value is not None
    known = {"starts_on": date(2026, 3, 31), "ends_on": date(2026, 4, 7)}
    assert {name: record.value[name] for name in known} == {**known, field: None}


@pytest.mark.fault("B1", place=PLACE)
@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("ends_on", MINUS_INFINITY),
        ("starts_on", INFINITY),
        ("starts_on", NEWER_INFINITY),
        ("ends_on", INFINITY - 1),
        ("ends_on", NEWER_INFINITY + 1),
        ("starts_on", MINUS_INFINITY + 1),
    ],
)
def test_b1_what_neither_begins_nor_ends_anything_is_no_day(field: str, days: int) -> None:
    _, effects = fed(**{field: days})
    assert effects.accounting == Accounting(dead_lettered=1)
    (letter,) = letters(effects)
    assert letter["detail"] == f"{field} has no value of project.{field}"


@pytest.mark.fault("B1", place=PLACE)
@pytest.mark.parametrize("days", [INFINITY, MINUS_INFINITY, NEWER_INFINITY])
def test_b1_work_has_a_day(days: int) -> None:
    bench = Bench()
    effects = bench.feed(
        bench.source.change(1, entry(1)), bench.source.change(2, entry(2, work_on=days))
    )
    assert effects.accounting == Accounting(applied=1, dead_lettered=1)
    (letter,) = letters(effects)
    assert letter["detail"] == "work_on has no value of time_entry.work_on"


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize("country", ["a-", "D|", "d1", "ÄÖ", "ßa", "DEU", "D", "d\n", "--"])
def test_b1_a_country_is_two_letters(country: str) -> None:
    _, effects = fed(country_code=country)
    assert effects.accounting == Accounting(dead_lettered=1)
    (letter,) = letters(effects)
    assert letter["detail"] == "country_code must be two letters, as in ISO 3166-1"


def test_a_project_is_named_by_its_country_however_it_is_typed() -> None:
    typed, plain = (
        canonical(fed(country_code=country)[1], "project")[0].value for country in ("\u0131T", "it")
    )
    assert typed == plain


def test_a_country_may_be_typed_in_any_case_and_be_missing() -> None:
    (record,) = canonical(fed(country_code=" de ")[1], "project")
    assert record.value is not None
    assert record.value["country_code"] == "DE"
    (record,) = canonical(fed(country_code=None)[1], "project")
    assert record.value is not None
    assert record.value["country_code"] is None


WEEK = [Decimal(8)] * 7


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize(
    ("day", "is_day"),
    [
        ("0001-01-01", True),
        ("9999-12-31", True),
        ("0000-12-31", False),
        ("-0001-01-01", False),
        ("+10000-01-01", False),
        ("+12345-01-01", False),
        ("+262142-12-31", False),
        ("2026-02-30", False),
        ("", False),
    ],
)
def test_b1_a_week_begins_on_a_day_of_the_calendar(day: str, is_day: bool) -> None:
    bench = Bench("src.float.person")
    row: dict[str, Any] = dict.fromkeys(frame_dtypes(contract_of("float", "person")))
    sound, other = ({"2026-01-01": WEEK}, {"2026-01-01": WEEK, day: WEEK})
    effects = bench.feed(
        bench.source.change(1, row | {"people_id": 1, "work_days_hours_history": sound}),
        bench.source.change(2, row | {"people_id": 2, "work_days_hours_history": other}),
    )
    assert effects.accounting == Accounting(applied=1 + is_day, dead_lettered=1 - is_day)
    assert [letter["detail"] for letter in letters(effects)] == [
        "work_days_hours_history has no value of resource.work_patterns"
    ] * (not is_day)
