"""SQL expressions of a mapping: what they give, what refuses a row, and what is refused at load."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
import pytest

from schemas.mapping.casts import INSTANT, INTERVAL
from schemas.mapping.compiled import Computed, with_computed
from schemas.mapping.sql import FAILED_ANYHOW, SqlCompiler
from schemas.mapping.sql_text import Name, SqlError

DTYPES: Final[dict[str, pl.DataType]] = {
    "text": pl.String(),
    "other": pl.String(),
    "small": pl.Int32(),
    "whole": pl.Int64(),
    "amount": pl.Decimal(18, 2),
    "wide": pl.Decimal(38, 4),
    "price": pl.Float64(),
    "flag": pl.Boolean(),
    "day": pl.Date(),
    "at": pl.Datetime("ms", "UTC"),
    "began": INSTANT,
    "took": INTERVAL,
    "pause": INTERVAL,
    "deep": pl.Struct({"part": pl.Struct({"name": pl.String()}), "number": pl.Int64()}),
    "end": pl.String(),
}
NO_ROW: Final = dict.fromkeys(DTYPES)
LARGEST: Final = 2**63 - 1


def compiler(**variables: str) -> SqlCompiler:
    made = SqlCompiler({name: Name(f"in {name}", dtype) for name, dtype in DTYPES.items()})
    for name, text in variables.items():
        made.add_variable(name, text)
    return made


def outcome(sql: str, variables: dict[str, str] | None = None, **row: object) -> object:
    """The value of one row, or the reason why it has none as a set of one text."""
    made = compiler(**variables or {}).compile(sql)
    rows = pl.DataFrame(
        {f"in {name}": [value] for name, value in (NO_ROW | row).items()},
        schema={f"in {name}": dtype for name, dtype in DTYPES.items()},
    )
    failed = (
        pl.lit(None, dtype=made.dtype).alias("value"),
        pl.lit(FAILED_ANYHOW, dtype=pl.UInt8).alias("failure"),
    )
    computed = Computed(made.value.alias("value"), made.failure.alias("failure"), failed)
    [found] = with_computed(rows, [computed]).select("value", "failure").to_dicts()
    return found["value"] if found["failure"] is None else {made.reasons[found["failure"]]}


def problem(sql: str) -> tuple[int, str]:
    with pytest.raises(SqlError) as refused:
        compiler().compile(sql)
    return refused.value.at, str(refused.value)


@pytest.mark.parametrize(
    ("sql", "row", "value"),
    [
        ("upper(trim(text))", {"text": " a "}, "A"),
        ("text || '-' || small", {"text": "a", "small": 2}, "a-2"),
        ("'it''s' -- why\n|| /* so */ '!'", {}, "it's!"),
        ("CASE WHEN flag THEN 'yes' ELSE 'no' END", {"flag": True}, "yes"),
        ("CASE WHEN flag THEN 'yes' ELSE 'no' END", {"flag": None}, "no"),
        ("CASE text WHEN 'a' THEN 1 WHEN 'b' THEN 2 END", {"text": "b"}, 2),
        ("COALESCE(text, other, 'none')", {"other": "b"}, "b"),
        ("NULLIF(text, '')", {"text": ""}, None),
        ("text ~ '^a' AND text NOT LIKE '%z'", {"text": "ab"}, True),
        ("text IN ('a', 'b')", {"text": "c"}, False),
        ("small NOT IN (1, 2)", {"small": 3}, True),
        ("small BETWEEN 1 AND 3", {"small": 3}, True),
        ("text IS NULL", {}, True),
        ("text IS NOT NULL", {}, False),
        ("text IS DISTINCT FROM other", {"text": "a"}, True),
        ("NOT flag OR flag", {"flag": False}, True),
        ("SPLIT_PART(text, '.', 2)", {"text": "a.b"}, "b"),
        ('"end"', {"end": "z"}, "z"),
        ("deep.part.name", {"deep": {"part": {"name": "n"}, "number": 1}}, "n"),
        ("deep.number + 1", {"deep": {"part": None, "number": 1}}, 2),
        ("-(small - 5)", {"small": 2}, 3),
        ("LENGTH(text) - 3", {"text": "a"}, -2),
        ("whole // 2 * 10 + whole % 2", {"whole": 7}, 31),
        ("amount * 1.19", {"amount": Decimal("100.00")}, Decimal("119.0000")),
        ("0.1 + 0.2 = 0.3", {}, True),
        ("ROUND(amount, 1)", {"amount": Decimal("1.25")}, Decimal("1.30")),
        ("ABS(small)", {"small": -(2**31)}, 2**31),
        ("EXTRACT(YEAR FROM day) * 100", {"day": date(2024, 3, 1)}, 202_400),
        ("STRFTIME(day, '%Y-%m')", {"day": date(2024, 3, 1)}, "2024-03"),
        ("day + INTERVAL '1 day'", {"day": date(2024, 2, 29)}, date(2024, 3, 1)),
        ("day >= DATE '2024-03-01'", {"day": date(2024, 3, 1)}, True),
        ("at - at", {"at": datetime(2024, 1, 1, tzinfo=UTC)}, timedelta(0)),
        (
            "began - at",
            {
                "at": datetime(2024, 1, 1, tzinfo=UTC),
                "began": datetime(2024, 1, 1, microsecond=1, tzinfo=UTC),
            },
            timedelta(microseconds=1),
        ),
        (
            "took - COALESCE(pause, INTERVAL '0 seconds')",
            {"took": timedelta(microseconds=1)},
            timedelta(microseconds=1),
        ),
        (
            "took - pause + INTERVAL '1 minute'",
            {"took": timedelta(hours=1), "pause": timedelta(milliseconds=1)},
            timedelta(hours=1, minutes=1) - timedelta(milliseconds=1),
        ),
        ("took - INTERVAL '90 minutes'", {"took": timedelta(hours=2)}, timedelta(minutes=30)),
        (
            "took + INTERVAL '1 day 2 hours'",
            {"took": timedelta(microseconds=1)},
            timedelta(hours=26, microseconds=1),
        ),
        (
            "CAST(day AS TIMESTAMP) + took",
            {"day": date(2024, 2, 29), "took": timedelta(hours=25)},
            datetime(2024, 3, 1, 1, tzinfo=UTC),
        ),
        ("day + took", {"day": date(2024, 2, 29), "took": timedelta(days=1)}, date(2024, 3, 1)),
        ("took > INTERVAL '1 hour'", {"took": timedelta(hours=1)}, False),
        ("took * 2", {"took": timedelta(hours=1)}, timedelta(hours=2)),
        (
            "small * took",
            {"took": timedelta(microseconds=-1), "small": 3},
            timedelta(microseconds=-3),
        ),
        ("whole * INTERVAL '1 second'", {}, None),
        (
            "TIMESTAMP '1970-01-01 00:00:00' + whole * INTERVAL '1 millisecond'",
            {"whole": 1_772_452_800_123},
            datetime(2026, 3, 2, 12, 0, 0, 123_000, tzinfo=UTC),
        ),
        ("whole * INTERVAL '366 days'", {"whole": 20_000}, timedelta(days=366 * 20_000)),
        ("CAST(text AS DECIMAL(18,10))", {"text": "1.50E-8"}, Decimal("0.0000000150")),
        ("CAST(text AS DECIMAL(18,4))", {"text": "-1.2E+3"}, Decimal("-1200.0000")),
        ("CAST(text AS DECIMAL(18,4))", {"text": "0E-10"}, Decimal("0.0000")),
        ("CAST(text AS DECIMAL(18,4))", {"text": "5e0"}, Decimal("5.0000")),
        ("CAST(price AS DECIMAL(18,9))", {"price": 1.5e-7}, Decimal("0.000000150")),
        (
            "CAST(text AS TIMESTAMP)",
            {"text": "2024-01-01T10:00:00.123456Z"},
            datetime(2024, 1, 1, 10, microsecond=123_456, tzinfo=UTC),
        ),
        (
            "at < TIMESTAMP '2024-01-01 00:00:01'",
            {"at": datetime(2024, 1, 1, tzinfo=UTC)},
            True,
        ),
        ("CAST(at AS DATE)", {"at": datetime(2024, 1, 1, 23, tzinfo=UTC)}, date(2024, 1, 1)),
        ("CAST(day AS TIMESTAMP)", {"day": date(2024, 1, 1)}, datetime(2024, 1, 1, tzinfo=UTC)),
        ("CAST(text AS DECIMAL(18,4))", {"text": "4.375"}, Decimal("4.3750")),
        ("CAST(text AS DECIMAL(18,4))", {"text": "4.37500"}, Decimal("4.3750")),
        ("CAST(text AS BIGINT)", {"text": str(LARGEST)}, LARGEST),
        ("CAST(text AS DATE)", {"text": "2024-02-29"}, date(2024, 2, 29)),
        (
            "CAST(text AS TIMESTAMP)",
            {"text": "2024-01-01T10:00:00Z"},
            datetime(2024, 1, 1, 10, tzinfo=UTC),
        ),
        ("DATE(text, '%d.%m.%Y')", {"text": "05.01.2024"}, date(2024, 1, 5)),
        ("DATE(text, '%d.%m.%Y')", {"text": "05.01.1000"}, date(1000, 1, 5)),
        (
            "STRPTIME(text, '%d.%m.%Y %H:%M')",
            {"text": "05.01.2024 10:30"},
            datetime(2024, 1, 5, 10, 30, tzinfo=UTC),
        ),
        ("CAST(amount AS DECIMAL(18,1))", {"amount": Decimal("1.50")}, Decimal("1.5")),
        ("CAST(amount AS INTEGER)", {"amount": Decimal("3.00")}, 3),
        ("CAST(price AS DECIMAL(18,4))", {"price": 0.1}, Decimal("0.1000")),
        ("CAST(price AS TEXT)", {"price": 0.1}, "0.1"),
        ("CAST(flag AS INTEGER) + 1", {"flag": True}, 2),
        ("NULL", {}, None),
    ],
)
def test_an_expression_gives_what_sql_says(sql: str, row: dict[str, object], value: object) -> None:
    assert outcome(sql, **row) == value


@pytest.mark.parametrize(
    ("sql", "row", "reason"),
    [
        ("CAST(text AS DECIMAL(18,4))", {"text": "x"}, "a value is no DECIMAL(18,4)"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "4.37505"}, "a value is no DECIMAL(18,4)"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "NaN"}, "a value is no DECIMAL(18,4)"),
        ("TRY_CAST(text AS DECIMAL(5,2))", {"text": "1000"}, "a value is no DECIMAL(5,2)"),
        ("CAST(amount AS DECIMAL(18,1))", {"amount": Decimal("1.25")}, "a value is no DECIMAL"),
        ("CAST(amount AS BIGINT)", {"amount": Decimal("1.25")}, "a value is no BIGINT"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "1.50E-8"}, "a value is no DECIMAL(18,4)"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "1.25E+1"}, "a value is no DECIMAL(18,4)"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "1E15"}, "a value is no DECIMAL(18,4)"),
        ("CAST(text AS DECIMAL(18,4))", {"text": "E5"}, "a value is no DECIMAL(18,4)"),
        ("whole * INTERVAL '366 days'", {"whole": 20_001}, "an INTERVAL is too long"),
        ("whole * INTERVAL '1 second'", {"whole": LARGEST}, "an INTERVAL is too long"),
        (
            "day + took",
            {"day": date(2024, 2, 29), "took": timedelta(hours=25)},
            "a DATE takes whole days only: CAST it to TIMESTAMP",
        ),
        (
            "day - took",
            {"day": date(2024, 2, 29), "took": timedelta(microseconds=-1)},
            "a DATE takes whole days only: CAST it to TIMESTAMP",
        ),
        ("CAST(whole AS SMALLINT)", {"whole": 2**15}, "a value is no SMALLINT"),
        ("CAST(text AS DATE)", {"text": "2024-02-30"}, "a value is no DATE"),
        ("CAST(text AS DATE)", {"text": "2024-2-3"}, "a value is no DATE"),
        ("CAST(text AS TIMESTAMP)", {"text": "noon"}, "a value is no TIMESTAMP"),
        ("CAST(price AS DECIMAL(18,4))", {"price": 1e30}, "a value is no DECIMAL(18,4)"),
        ("DATE(text, '%d.%m.%Y')", {"text": "2024-01-05"}, "a text has not the format"),
        ("DATE(text, '%d.%m.%Y')", {"text": "05.01.24"}, "a text has not the format"),
        ("whole + 1", {"whole": LARGEST}, "a number is too large, or divided by zero"),
        ("whole * whole", {"whole": 2**62}, "a number is too large, or divided by zero"),
        ("-whole", {"whole": -(2**63)}, "a number is too large, or divided by zero"),
        ("whole // small", {"whole": 1, "small": 0}, "a number is too large, or divided by"),
        ("amount % small", {"amount": Decimal(1), "small": 0}, "a number is too large, or"),
        ("wide * 10", {"wide": Decimal("9" * 34)}, "cannot be computed"),
        ("day + INTERVAL '260000 years'", {"day": date(9999, 1, 1)}, "cannot be computed"),
    ],
)
def test_a_row_without_a_value_says_why(sql: str, row: dict[str, object], reason: str) -> None:
    [told] = outcome(sql, **row)  # type: ignore[misc]
    assert told.startswith(reason)


@pytest.mark.parametrize(
    ("sql", "is_refused"),
    [
        # What is not chosen cannot fail.
        ("CASE WHEN text ~ '^[0-9]+$' THEN CAST(text AS INTEGER) END", False),
        ("CASE WHEN text = 'x' THEN 0 ELSE CAST(text AS INTEGER) END", False),
        ("CASE WHEN text = 'x' THEN CAST(text AS INTEGER) ELSE 0 END", True),
        ("CASE WHEN CAST(text AS INTEGER) = 1 THEN 0 ELSE 2 END", True),
        ("COALESCE(other, text, CAST(text AS TEXT))", False),
        ("COALESCE(small, CAST(text AS INTEGER))", True),
        ("COALESCE(1, CAST(text AS INTEGER))", False),
        # A TRY_CAST fails unless something else gives the value.
        ("COALESCE(CAST(text AS INTEGER), 1)", True),
        ("COALESCE(TRY_CAST(text AS INTEGER), 1)", False),
        ("COALESCE(TRY_CAST(text AS INTEGER), CAST(text AS INTEGER))", True),
        ("TRY_CAST(text AS INTEGER) IS NULL", False),
        ("TRY_CAST(text AS INTEGER)", True),
        # What the other side has decided, a failure cannot change.
        ("text = 'y' AND CAST(text AS INTEGER) = 1", False),
        ("text = 'x' AND CAST(text AS INTEGER) = 1", True),
        ("text = 'x' OR CAST(text AS INTEGER) = 1", False),
        ("CAST(text AS INTEGER) = 1 OR text = 'y'", True),
        # A failure in any part is one of the whole.
        ("UPPER(text) || CAST(text AS INTEGER)", True),
        ("CAST(text AS INTEGER) + small", True),
        ("small + CAST(text AS INTEGER)", True),
        ("COALESCE(TRY_CAST(text AS INTEGER), 0) + CAST(text AS INTEGER)", True),
        ("CAST(CAST(text AS INTEGER) AS TEXT)", True),
    ],
)
def test_a_failure_counts_where_sql_would_see_it(sql: str, is_refused: bool) -> None:
    assert (outcome(sql, text="x") in ({"a value is no INTEGER"},)) is is_refused


@pytest.mark.parametrize(
    "sql",
    [
        "UPPER(text)",
        "text || 'x'",
        "CAST(text AS DECIMAL(18,4))",
        "amount * 2",
        "whole + 1",
        "whole // 2",
        "amount % 0",
        "text LIKE 'a%'",
        "text IN ('a')",
        "STARTS_WITH(text, 'a')",
        "SPLIT_PART(text, 'a', 1)",
        "DATE(text, '%Y')",
        "deep.part.name",
        "CAST(at AS DATE)",
        "flag AND NULL",
    ],
)
def test_a_null_is_a_null(sql: str) -> None:
    assert outcome(sql) is None


@pytest.mark.parametrize(
    ("sql", "at", "told"),
    [
        ("txet", 0, "unknown source column txet; did you mean text?"),
        ("UPPER(TEXT)", 6, "unknown source column TEXT; did you mean text?"),
        ("unlike", 0, "unknown source column unlike"),
        ("deep.prat", 5, "deep has no field prat; did you mean part?"),
        ("text.part", 5, "text has no field part"),
        ("NOW()", 0, "NOW depends on the clock"),
        ("day < current_date", 6, "current_date depends on the clock"),
        ("RANDOM()", 0, "RANDOM is left to chance"),
        ("1 + SUM(whole)", 4, "SUM is of many rows"),
        ("whole OVER (ORDER BY day)", 6, "OVER is of many rows"),
        ("LAG(whole)", 0, "LAG is of many rows"),
        ("(SELECT 1)", 1, "SELECT belongs to a query"),
        ("EXISTS (SELECT 1)", 0, "EXISTS belongs to a query"),
        ("whole IN (SELECT 1)", 10, "SELECT belongs to a query"),
        ("text FROM x", 5, "FROM belongs to a query"),
        ("CONCAT(text, other)", 0, "CONCAT makes a value of a null in silence"),
        ("COALESC(text)", 0, "COALESC is no function of mappings; did you mean COALESCE?"),
        ("read_csv('/etc/passwd')", 0, "read_csv is no function of mappings"),
        ("text other", 5, "an operator is missing in front of other"),
        ("text AS other", 5, "an operator is missing in front of AS"),
        ("text +", 6, "a value is missing at the end"),
        ("* text", 0, "a value is missing in front of *"),
        ("", 0, "a value is missing at the end"),
        ("(text", 5, ") is missing at the end"),
        ("text)", 4, "an operator is missing in front of )"),
        ("CASE text END", 10, "WHEN is missing in front of END"),
        ("CASE WHEN flag THEN 1", 21, "END is missing at the end"),
        ("flag IS TRUE", 8, "DISTINCT is missing in front of TRUE"),
        ("small NOT 1", 10, "NOT is followed by LIKE, ILIKE, BETWEEN or IN here"),
        ("end", 0, 'of a column write "end"'),
        ("'open", 0, "' is not closed"),
        ("1e5", 0, "this is no number"),
        ("text; other", 4, "';' is not for mappings"),
        ("amount / 2", 7, "a quotient is not exact"),
        ("CAST(text AS DOUBLE)", 13, "DOUBLE is not DECIMAL(p,s), TEXT"),
        ("CAST(text AS DECIMAL)", 20, "( is missing in front of )"),
        ("CAST(text AS DECIMAL(18))", 23, ", is missing in front of )"),
        ("CAST(text AS DECIMAL(2.5,1))", 21, "write DECIMAL(precision,scale)"),
        ("CAST(text AS DECIMAL(39,1))", 21, "DECIMAL(39,1) is no type of at most 38 digits"),
        ("CAST(text AS DECIMAL(1,2))", 21, "DECIMAL(1,2) is no type of at most 38 digits"),
        ("CAST(text AS DECIMAL(0,0))", 21, "DECIMAL(0,0) is no type of at most 38 digits"),
        ("CAST(text AS VARCHAR(3))", 20, ") is missing in front of ("),
        (f"{'(' * 33}text{')' * 33}", 33, "nested more than 32 deep"),
    ],
)
def test_what_is_no_expression_of_a_row_is_refused_where_it_stands(
    sql: str, at: int, told: str
) -> None:
    found_at, found = problem(sql)
    assert told in found
    assert found_at == at


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("price", "a DOUBLE is not exact"),
        ("price * 2 > 1", "a DOUBLE is not exact"),
        ("CAST(price * 2 AS DECIMAL(18,4))", "a DOUBLE is not exact"),
        ("CASE WHEN flag THEN price END", "a DOUBLE is not exact"),
        ("EXTRACT(EPOCH FROM at)", "a DOUBLE is not exact"),
        ("CASE WHEN flag THEN text ELSE small END", "TEXT and INTEGER are of two kinds"),
        ("COALESCE(text, small)", "TEXT and INTEGER are of two kinds"),
        ("amount = '1.25'", "DECIMAL(18,2) and TEXT are of two kinds"),
        ("amount = text", "DECIMAL(18,2) and TEXT are of two kinds"),
        ("text < small", "TEXT and INTEGER are of two kinds"),
        ("text IN (1, 2)", "TEXT and LIST(INT64) are of two kinds"),
        ("day = at", "DATE and TIMESTAMP are of two kinds"),
        ("took = at", "INTERVAL and TIMESTAMP are of two kinds"),
        ("COALESCE(took, 0)", "INTERVAL and INTEGER are of two kinds"),
        ("took + INTERVAL '1 month'", "an INTERVAL of months or years has no length"),
        ("took - INTERVAL '1 year'", "an INTERVAL of months or years has no length"),
        ("took * amount", "an INTERVAL is added, taken away, and multiplied by a whole number"),
        ("whole * took * took", "an INTERVAL is added, taken away, and multiplied by a"),
        ("small * INTERVAL '1 month'", "cannot be computed"),
        ("took // 2", "an INTERVAL is added, taken away, and multiplied by"),
        ("took % pause", "an INTERVAL is added, taken away, and multiplied by"),
        ("ABS(took)", "an INTERVAL is added, taken away, and multiplied by"),
        ("CAST(took AS TEXT)", "INTERVAL does not become TEXT"),
        ("CAST(deep AS TEXT)", "does not become TEXT"),
        ("CAST(day AS INTEGER)", "DATE does not become INTEGER"),
        ("CAST(text AS TIMESTAMP) - text", "cannot be computed"),
        ("DATE(text)", "a format is missing, or write CAST"),
        ("text ~ '('", "cannot be computed: regex"),
        ("text + 1", "cannot be computed"),
        ("UPPER(small)", "cannot be computed"),
        ("UPPER(text, text)", "cannot be computed"),
        ("EXTRACT(FOO FROM day)", "cannot be computed"),
        ("CASE WHEN small THEN 1 END", "cannot be computed"),
        ("small BETWEEN 1", "cannot be computed"),
        ("9" * 39, "cannot be computed"),
    ],
)
def test_what_cannot_be_computed_exactly_is_refused_without_a_row(sql: str, told: str) -> None:
    assert told in problem(sql)[1]


def test_a_variable_is_an_expression_with_a_name() -> None:
    names = {"net": "CAST(text AS DECIMAL(18,2))", "gross": "net * 2"}
    assert outcome("gross + net", names, text="1.50") == Decimal("4.50")
    assert outcome("gross", names, text="x") == {"a value is no DECIMAL(18,2)"}
    assert outcome("COALESCE(small, 1)", names, text="x") == 1  # nobody asks for it
    made = compiler(**names).compile("gross || other")
    assert made.columns == ("text", "other")


@pytest.mark.parametrize("name", ["text", "net"])
def test_a_name_is_given_once(name: str) -> None:
    made = compiler(net="1")
    with pytest.raises(SqlError, match=f"{name} is a name already"):
        made.add_variable(name, "2")


def test_what_raises_for_a_row_refuses_that_row_alone() -> None:
    made = {name: compiler().compile(sql) for name, sql in (("a", "wide * 10"), ("b", "wide + 1"))}
    numbers = [Decimal(1), Decimal(10**33), None, Decimal(2), Decimal(10**33)]
    rows = pl.DataFrame({"in wide": numbers}, schema={"in wide": DTYPES["wide"]})
    computed = [
        Computed(
            each.value.alias(name),
            each.failure.alias(f"{name} failed"),
            (
                pl.lit(None, dtype=each.dtype).alias(name),
                pl.lit(FAILED_ANYHOW, dtype=pl.UInt8).alias(f"{name} failed"),
            ),
        )
        for name, each in made.items()
    ]
    found = with_computed(rows, computed)
    assert found["a"].to_list() == [10, None, None, 20, None]
    assert found["a failed"].to_list() == [None, FAILED_ANYHOW, None, None, FAILED_ANYHOW]
    assert found["b"].to_list() == [2, 10**33 + 1, None, 3, 10**33 + 1]
    assert found["b failed"].to_list() == [None] * 5
