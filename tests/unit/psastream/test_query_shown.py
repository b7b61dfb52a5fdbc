"""Answers as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from psastream.query.session import Answer
from psastream.query.shown import Form, print_answer, shown

COLUMNS = (("project", "VARCHAR"), ("margin", "DECIMAL(38,6)"), ("n", "BIGINT"))
ROWS = [("Move [DE]", Decimal("12.500000"), 3), (None, Decimal("-1234.000001"), None)]


def printed(
    form: Form, rows: list[tuple[Any, ...]], columns: Any = COLUMNS, *, width: int | None = None
) -> str:
    out = io.StringIO()
    print_answer(Answer(columns, iter(rows)), form, out, width=width)
    return out.getvalue()


def test_a_table_has_a_header_and_numbers_end_in_one_column() -> None:
    lines = printed(Form.TABLE, ROWS, width=80).splitlines()
    assert lines == [
        "project          margin  n",
        "─────────  ────────────  ─",
        "Move [DE]     12.500000  3",
        "           -1234.000001",
        "2 rows",
    ]


def test_wide_letters_take_their_place_and_no_rows_are_a_table_too() -> None:
    columns = (("name", "VARCHAR"), ("margin", "DECIMAL(18,2)"))
    lines = printed(Form.TABLE, [("会社", Decimal("1.00")), ("ab", Decimal("20.00"))], columns)
    assert lines.splitlines()[2:4] == ["会社    1.00", "ab     20.00"]
    assert printed(Form.TABLE, [], columns).splitlines() == [
        "name  margin",
        "────  ──────",
        "0 rows",
    ]


@pytest.mark.parametrize(("width", "is_table"), [(None, True), (80, True), (20, False)])
def test_a_table_that_is_too_wide_is_printed_a_column_a_line(
    width: int | None, is_table: bool
) -> None:
    lines = printed(Form.TABLE, ROWS, width=width).splitlines()
    assert (lines[0].split() == ["project", "margin", "n"]) is is_table
    if not is_table:
        assert lines[:3] == ["project  Move [DE]", "margin   12.500000", "n        3"]


MARGINS = (
    ("project_ref", "VARCHAR"),
    ("project_id", "VARCHAR"),
    ("project", "VARCHAR"),
    ("customer", "VARCHAR"),
    ("is_internal", "BOOLEAN"),
    ("month", "VARCHAR"),
    ("currency", "VARCHAR"),
    ("hours", "DECIMAL(18,2)"),
    ("seconds", "BIGINT"),
    ("revenue", "DECIMAL(38,6)"),
    ("revenue_reason", "VARCHAR"),
    ("cost", "DECIMAL(38,6)"),
    ("margin", "DECIMAL(38,6)"),
    ("margin_ratio", "DECIMAL(18,6)"),
    ("as_of", "TIMESTAMPTZ"),
)


def margin(project: str, month: str, amount: str) -> tuple[Any, ...]:
    money, at = Decimal(amount), datetime(2026, 11, 28, tzinfo=UTC)
    return (
        *("inhouse:project:1", "eng-1", project, "Nordlicht Energie SE", False, month, "EUR"),
        *(Decimal("12.50"), 45000, money, None, money / 2, money / 2, Decimal("0.5"), at),
    )


def test_a_view_that_is_too_wide_is_a_table_of_what_people_read() -> None:
    """Projects whose names differ at the end stay apart, and amounts are whole."""
    out = io.StringIO()
    rows = [
        margin("Nordlicht grid transformation (DE)", "2026-09", "8677.336668"),
        margin("Nordlicht grid transformation (GB)", "2026-10", "-452.5"),
    ]
    answer = Answer(MARGINS, iter(rows), names_no_columns=True)
    print_answer(answer, Form.TABLE, out, width=80)
    header, _, first, second, *told = out.getvalue().splitlines()
    assert header.split() == ["project", "month", "ccy", "hours", "revenue", "cost", "margin"]
    assert first.startswith("Nordlicht") and "(DE)  2026-09" in first and " 8677.34 " in first
    assert "(GB)  2026-10" in second and "…" in second
    assert max(map(len, out.getvalue().splitlines())) <= 80
    said = " ".join(told)
    for name in ("project_ref", "customer", "as_of", "margin_ratio", "amounts are rounded"):
        assert name in said


def test_columns_that_are_named_stay_and_amounts_are_rounded_where_they_are_too_wide() -> None:
    """98 lines, a column each, are no answer to read."""
    out = io.StringIO()
    named = ("project", "month", "currency", "hours", "revenue", "cost", "margin")
    row = margin("Nordlicht grid transformation (DE)", "2026-09", "8677.336668")
    values = dict(zip((name for name, _ in MARGINS), row, strict=True))
    columns = tuple((name, kind) for name, kind in MARGINS if name in named)
    answer = Answer(columns, iter([tuple(values[name] for name, _ in columns)]))
    print_answer(answer, Form.TABLE, out, width=80)
    header, _, first, rows, told = out.getvalue().splitlines()
    assert header.split() == ["project", "month", "ccy", "hours", "revenue", "cost", "margin"]
    assert first.split()[-4:] == ["12.50", "8677.34", "4338.67", "4338.67"]
    assert (rows, told) == (
        "1 row",
        "amounts are rounded and texts cut, to fit (--json has all)",
    )


def test_what_people_look_for_stays_and_of_it_the_last_goes_first() -> None:
    columns = (
        ("resource_id", "VARCHAR"),
        ("person", "VARCHAR"),
        ("week", "VARCHAR"),
        ("total_hours", "DECIMAL(18,2)"),
        ("currency", "VARCHAR"),
        ("utilization_ratio", "DECIMAL(18,6)"),
        ("ratio_reason", "VARCHAR"),
    )
    first = ("person", "week", "utilization_ratio", "currency", "ratio_reason")
    row = ("res-1", "Ada Adler", "2026-W37", Decimal(40), "EUR", Decimal("0.5"), None)
    headers = {}
    for width in (60, 50, 36):
        out = io.StringIO()
        print_answer(Answer(columns, iter([row]), True, first), Form.TABLE, out, width=width)
        headers[width] = out.getvalue().splitlines()[0].split()
    assert headers == {
        60: ["person", "week", "ccy", "utilization_ratio", "ratio_reason"],
        50: ["person", "week", "ccy", "utilization_ratio"],
        36: ["person", "week", "ccy"],
    }


def test_states_currencies_and_whom_it_is_about_stay() -> None:
    """Words are short, and what a row is about is a name."""
    columns = (
        ("natural_key", "VARCHAR"),
        ("state", "VARCHAR"),
        ("detail", "VARCHAR"),
        ("project", "VARCHAR"),
        ("amount", "DECIMAL(38,6)"),
        ("currency", "VARCHAR"),
        ("attempts", "INTEGER"),
    )
    row = ("netsuite:project:eng-hij7bx6whcde-de", "non_billable", "y" * 60, "z" * 30, 1, "EUR", 2)
    out = io.StringIO()
    print_answer(Answer(columns, iter([row]), names_no_columns=True), Form.TABLE, out, width=60)
    assert out.getvalue().split()[:5] == ["state", "project", "amount", "ccy", "attempts"]
    out = io.StringIO()
    print_answer(Answer(columns, iter([row]), names_no_columns=True), Form.TABLE, out, width=30)
    assert out.getvalue().split()[:2] == ["project", "ccy"]


@pytest.mark.parametrize("names_no_columns", [True, False])
def test_what_cannot_fit_and_what_was_asked_for_is_printed_a_column_a_line(
    names_no_columns: bool,
) -> None:
    """No two names are made to look alike, and no column that is named is left out."""
    out = io.StringIO()
    one, other = (f"{'x' * 40}{letter}{'x' * 40}" for letter in "ab")
    columns = (("name", "VARCHAR"), ("n", "BIGINT"), ("at", "TIMESTAMPTZ"))
    rows = iter([(one, 1, None), (other, 2, None)])
    print_answer(Answer(columns, rows, names_no_columns), Form.TABLE, out, width=80)
    assert out.getvalue().splitlines()[:2] == [f"name  {one}", "n     1"]
    assert "left out" not in out.getvalue()


def test_a_long_text_that_is_printed_a_column_a_line_keeps_the_width() -> None:
    texts = [f"set the tax code of entity {letter} in the ERP, then retry " * 4 for letter in "ab"]
    columns = (("hint", "VARCHAR"), ("amount", "DECIMAL(38,6)"), ("at", "TIMESTAMPTZ"))
    rows = [(text, Decimal("1.000000"), datetime(2026, 3, 2, tzinfo=UTC)) for text in texts]
    lines = printed(Form.TABLE, rows, columns, width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("hint    set the tax code")
    assert " ".join(" ".join(lines).split()).count("in the ERP, then retry") == 8


def test_nothing_a_terminal_obeys_is_printed() -> None:
    text = printed(Form.TABLE, [("a\x1b[31m\nb", None, None)])
    assert "\x1b" not in text
    assert "a [31m b" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("10.000000"), "10.00"),
        (Decimal("0.000001"), "0.000001"),
        (Decimal("1E+3"), "1000"),
        (Decimal("7.5"), "7.5"),
        (True, "true"),
        (date(2026, 3, 2), "2026-03-02"),
        (datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC), "2026-03-02T08:00:01Z"),
        ([Decimal("1.10"), None], '["1.10", null]'),
        (b"\xff\x00", "base64:/wA="),
        (b"key", "key"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_json_is_a_row_a_line_with_every_digit() -> None:
    columns = (*COLUMNS, ("at", "TIMESTAMPTZ"), ("of", "STRUCT"), ("ratio", "DOUBLE"))
    at = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [(*ROWS[0], at, {"days": [date(2026, 3, 2)]}, 0.5), (*ROWS[1], None, None, float("nan"))]
    first, second = map(json.loads, printed(Form.JSON, rows, columns).splitlines())
    assert first == {
        "project": "Move [DE]",
        "margin": "12.500000",
        "n": 3,
        "at": "2026-03-02T00:00:00Z",
        "of": {"days": ["2026-03-02"]},
        "ratio": 0.5,
    }
    assert (second["margin"], second["project"], second["ratio"]) == ("-1234.000001", None, "nan")


def test_csv_has_names_first_and_every_digit() -> None:
    columns = (*COLUMNS, ("of", "STRUCT"), ("is_open", "BOOLEAN"))
    text = printed(Form.CSV, [(*ROWS[0], {"a": 1}, True), (*ROWS[1], None, False)], columns)
    assert list(csv.reader(io.StringIO(text))) == [
        ["project", "margin", "n", "of", "is_open"],
        ["Move [DE]", "12.500000", "3", '{"a": 1}', "true"],
        ["", "-1234.000001", "", "", "false"],
    ]
