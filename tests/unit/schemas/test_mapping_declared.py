"""Column types of databases: what Debezium writes of each, and what rules see of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.mapping.casts import INSTANT, INTERVAL
from schemas.mapping.declared import DeclaredTypeError, as_written, column_type
from tests.support.examples import examples

AVRO = {"int": pl.Int32(), "long": pl.Int64(), "float": pl.Float32(), "double": pl.Float64()}
AVRO |= {"string": pl.String(), "boolean": pl.Boolean()}
NOON = datetime(2026, 3, 2, 12, 0, 0, 123_456, tzinfo=UTC)
MICROS = 1_772_452_800_123_456
DAY_US = 86_400_000_000
MONEY = Decimal("922337203685477.5807")
SYDNEY = datetime(2018, 7, 13, 1, 23, 45, 456_000, tzinfo=UTC)
BEFORE_THE_EPOCH = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
THREE_DAYS = timedelta(days=3, hours=2, minutes=3, seconds=4, milliseconds=500)


def read(declared: str, *written: Any) -> list[Any]:
    """What rules see of values as Debezium writes them."""
    made = column_type(declared)
    rows = pl.DataFrame({"x": pl.Series(written, dtype=AVRO[made.avro])})
    found = rows.select(made.value(pl.col("x"))).to_series()
    assert found.dtype == made.dtype
    return found.to_list()


@pytest.mark.parametrize(
    ("declared", "written", "value"),
    [
        ("text", "a", "a"),
        ("long", 2**63 - 1, 2**63 - 1),
        ("int", -(2**31), -(2**31)),
        ("boolean", True, True),
        ("double", 0.1, 0.1),
        ("decimal(9,2)", "7.50", Decimal("7.50")),
        ("decimal(18,8)", "1.50E-7", Decimal("0.00000015")),
        ("decimal(18,8)", "-2E-8", Decimal("-0.00000002")),
        ("decimal(9,2)", "0E-10", Decimal("0.00")),
        ("decimal(9,2)", "1e3", Decimal("1000.00")),
        ("date", 20_514, date(2026, 3, 2)),
        ("timestamp", MICROS, NOON),
        ("timestamp(6)", MICROS, NOON),
        ("timestamp(4)", MICROS, NOON),
        ("timestamp(3)", MICROS // 1_000, NOON.replace(microsecond=123_000)),
        ("timestamp(0)", 0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("timestamp", -1, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("timestamptz", "2026-03-02T12:00:00.123456Z", NOON),
        ("timestamptz", "2026-03-02T12:00:00Z", NOON.replace(microsecond=0)),
        ("time", DAY_US - 1, timedelta(days=1) - timedelta(microseconds=1)),
        ("time", DAY_US, timedelta(days=1)),
        ("time(3)", 1, timedelta(milliseconds=1)),
        ("time(0)", 86_400_000, timedelta(days=1)),
        ("time(6)", 0, timedelta(0)),
        ("interval", "P0Y0M1DT1H-30M0.000001S", timedelta(days=1, minutes=30, microseconds=1)),
        ("interval", "P0Y0M-1DT0H0M-0.5S", -timedelta(days=1, milliseconds=500)),
    ],
)
def test_a_value_is_what_the_database_holds(declared: str, written: Any, value: Any) -> None:
    assert read(declared, written, None) == [value, None]


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("decimal(9,2)", "NaN"),
        ("decimal(9,2)", "7.505"),
        ("decimal(9,2)", "1E-3"),
        ("decimal(9,2)", "E"),
        ("timestamp", 9_223_371_331_200_000_000),  # what stands for infinity
        ("timestamp", -62_135_596_800_000_001),
        ("timestamp(3)", 253_402_300_800_000),
        ("timestamptz", "infinity"),
        ("timestamptz", "2026-03-02T12:00:00+01:00"),
        ("time", DAY_US + 1),
        ("time", -1),
        ("time(3)", 86_400_001),
        ("interval", "P0Y1M0DT0H0M0S"),
        ("interval", "P1Y0M0DT0H0M0S"),
        ("interval", "P0Y0M2000000DT0H0M0S"),
        ("interval", "P0Y0M0DT0H0M0.0000001S"),
        ("interval", "3600"),
    ],
)
def test_what_is_no_value_of_its_type_refuses_its_row(declared: str, written: Any) -> None:
    assert read(declared, written) == [None]
    assert column_type(declared).refuses


# As Debezium's documentation shows them, or the largest of their type:
# https://debezium.io/documentation/reference/3.3/connectors/mysql.html#mysql-data-types
# https://debezium.io/documentation/reference/3.3/connectors/sqlserver.html#sqlserver-data-types
# https://debezium.io/documentation/reference/3.3/connectors/oracle.html#oracle-data-type-mappings
@pytest.mark.parametrize(
    ("of", "declared", "written", "value"),
    [
        (
            "MySQL DATETIME",
            "timestamp(0)",
            1_529_476_623_000,
            datetime(2018, 6, 20, 6, 37, 3, tzinfo=UTC),
        ),
        (
            "MySQL TIMESTAMP",
            "timestamptz",
            "2018-06-20T13:37:03Z",
            datetime(2018, 6, 20, 13, 37, 3, tzinfo=UTC),
        ),
        ("MySQL TIME", "time", DAY_US - 1, timedelta(days=1) - timedelta(microseconds=1)),
        ("MySQL DATE 0000-00-00 NOT NULL", "date", 0, date(1970, 1, 1)),
        ("MySQL DATE 0000-00-00", "date", None, None),
        ("MySQL BIGINT UNSIGNED", "unsigned", 2**63 - 1, 2**63 - 1),
        ("MySQL BIGINT UNSIGNED 2^63", "unsigned", -(2**63), None),
        ("MySQL TINYINT(1)", "int", 1, 1),
        ("MySQL BIT(1)", "boolean", True, True),
        ("MySQL SET", "text", "a,b", "a,b"),
        ("MySQL DECIMAL(65,30)", "decimal(38,30)", "0." + "1" * 30, Decimal("0." + "1" * 30)),
        ("SQL Server money", "decimal(19,4)", "922337203685477.5807", MONEY),
        ("SQL Server bit", "boolean", False, False),
        (
            "SQL Server datetime2(6)",
            "timestamp(6)",
            1_529_507_596_945_104,
            datetime(2018, 6, 20, 15, 13, 16, 945_104, tzinfo=UTC),
        ),
        (
            "SQL Server datetime2(7)",
            "timestamp(7)",
            1_529_507_596_945_104_700,
            datetime(2018, 6, 20, 15, 13, 16, 945_104, tzinfo=UTC),
        ),
        ("SQL Server datetime2(7)", "timestamp(7)", -100, BEFORE_THE_EPOCH),
        ("SQL Server time(7)", "time(7)", 1_000_000_900, timedelta(seconds=1)),
        ("SQL Server time(7)", "time(7)", (DAY_US + 1) * 1_000, None),
        ("SQL Server datetimeoffset", "datetimeoffset", "2018-07-13T12:23:45.456+11:00", SYDNEY),
        ("SQL Server datetimeoffset", "datetimeoffset", "2018-07-13T01:23:45.4560009Z", SYDNEY),
        ("SQL Server datetimeoffset", "datetimeoffset", "2018-07-12T21:53:45.456-03:30", SYDNEY),
        ("no offset", "datetimeoffset", "2018-07-13T12:23:45.456", None),
        (
            "Oracle DATE",
            "timestamp(3)",
            1_529_507_596_000,
            datetime(2018, 6, 20, 15, 13, 16, tzinfo=UTC),
        ),
        ("Oracle NUMBER", "decimal(12,2)", "1E+3", Decimal("1000.00")),
        ("Oracle NUMBER", "decimal(12,2)", "12.345", None),
        ("Oracle INTERVAL DAY TO SECOND", "interval", "P0Y0M-3DT-2H-3M-4.5S", -THREE_DAYS),
    ],
)
def test_a_value_of_another_database_is_what_it_holds(
    of: str, declared: str, written: Any, value: Any
) -> None:
    assert read(declared, written) == [value], of


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("timestamp(7)", "2018-06-20T15:13:16.945104"),
        ("datetimeoffset", "2018-06-20T15:13:16.945104+02:00"),
        ("time(7)", "01:30:00.000001"),
    ],
)
def test_values_of_other_databases_are_written_as_people_show_them(
    declared: str, shown: str
) -> None:
    [found] = read(declared, as_written(declared, shown))
    if declared == "time(7)":
        assert found == timedelta(hours=1, minutes=30, microseconds=1)
    else:
        at = datetime.fromisoformat(shown)
        assert found == (at if at.tzinfo else at.replace(tzinfo=UTC))


@pytest.mark.parametrize("declared", ["text", "int", "date", "start_date", "double", "real"])
def test_other_types_take_whatever_comes(declared: str) -> None:
    assert not column_type(declared).refuses


def test_the_first_and_the_last_instant_of_the_calendar_are_read() -> None:
    first, last = -62_135_596_800_000_000, 253_402_300_799_999_999
    assert read("timestamp", first, last) == [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]


def test_the_longest_interval_is_read_and_some_of_them_can_be_added() -> None:
    [longest] = read("interval", "P0Y0M1157407DT0H0M0S")
    assert longest == timedelta(days=1_157_407)
    assert read("interval", "P0Y0M1157408DT0H0M0S") == [None]


def test_a_column_type_that_there_is_not_is_told_with_those_there_are() -> None:
    for text in ("timestamp(10)", "time()", "varchar", "decimal(9)", "timestamptz(3)"):
        with pytest.raises(DeclaredTypeError, match="interval, timestamp\\(p\\), time\\(p\\)"):
            column_type(text)
    with pytest.raises(DeclaredTypeError, match="at most 38 digits"):
        column_type("decimal(39,2)")


@pytest.mark.parametrize(
    ("declared", "shown", "written"),
    [
        ("date", "1970-01-02", 1),
        ("start_date", "1969-12-31", -1),
        ("timestamp", "2026-03-02 12:00:00.123456", MICROS),
        ("timestamp(3)", "2026-03-02T12:00:00.123", MICROS // 1_000),
        ("timestamptz", "2026-03-02 13:00:00+01", "2026-03-02T12:00:00.000000Z"),
        ("timestamptz", "2026-03-02T12:00:00Z", "2026-03-02T12:00:00.000000Z"),
        ("time", "00:00:01.5", 1_500_000),
        ("time(0)", "00:00:01", 1_000),
        ("time", "24:00:00", DAY_US),
        ("time", "noon", "noon"),
        ("interval", "01:30:00", "PT5400S"),
        ("interval", "-100:00:00.5", "PT-360000.5S"),
        ("interval", "P0Y0M0DT0H50M0S", "P0Y0M0DT0H50M0S"),
        ("decimal(9,2)", Decimal("1E+2"), "100"),
        ("text", Decimal("0.0000001"), "0.0000001"),
        ("text", "2026-03-02", "2026-03-02"),
        ("long", 7, 7),
        ("date", "tomorrow", "tomorrow"),
        ("timestamp", None, None),
    ],
)
def test_a_row_that_people_write_is_taken_as_debezium_writes_it(
    declared: str, shown: Any, written: Any
) -> None:
    assert as_written(declared, shown) == written


def test_times_and_intervals_have_one_unit() -> None:
    """Of two units polars takes the coarser one."""
    units = {
        column_type(each).dtype
        for each in ("timestamp", "timestamp(0)", "timestamptz", "time", "time(3)", "interval")
    }
    assert units == {INSTANT, INTERVAL}


numbers = st.sampled_from(["1e3", "1E3", "2.5e-1", "-2E-8", "7.50", "+7.505", "NaN", "", "E"])
clocks = st.sampled_from(["", "PT1H", "P0Y0M1DT0H0M0S", "P0Y1M0DT0H0M0S", "1e3", "01:30:00"])
instants = st.sampled_from(["", "2026-03-02T12:00:00Z", "2026-03-02 12:00:00", "infinity", "1e3"])


@settings(max_examples=examples(30), deadline=None)
@given(
    st.one_of(
        st.tuples(st.sampled_from(["decimal(9,2)", "decimal(38,0)"]), st.lists(numbers)),
        st.tuples(st.just("interval"), st.lists(clocks)),
        st.tuples(st.just("timestamptz"), st.lists(instants)),
    )
)
def test_a_value_is_read_the_same_alone_and_among_others(drawn: tuple[str, list[str]]) -> None:
    declared, written = drawn
    assert read(declared, *written) == [read(declared, each)[0] for each in written]
