"""The file of a measure of the firm's own: what it declares, and what is refused by line."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.errors import ConfigError
from tables.measures.own import key_parts, key_text, load_measure, rows_schema

HEADER = """-- What clients were worked for.
-- name: client_time
-- key: customer_id, month
-- sums: seconds, worth
-- unit: s, currency
-- period: month
"""
QUERY = """SELECT customer_id, STRFTIME(work_on, '%Y-%m') AS month,
  SUM(seconds) AS seconds, -- all of it
  SUM(seconds * bill_rate) AS worth
FROM time_entry WHERE status = 'a;b, FROM (' OR status = 'approved'
GROUP BY month, customer_id;
"""


def test_a_measure_has_a_topic_and_a_contract_of_its_columns() -> None:
    own = load_measure(HEADER + QUERY, "a.sql")
    assert (own.name, own.of, own.period) == ("client_time", "time_entry", "month")
    assert (own.topic.name, own.topic.key) == ("psa.metric.client_time", "customer_id|month")
    assert own.topic.contract is not None
    contract = json.loads(own.topic.contract.text)
    assert (contract["namespace"], contract["name"]) == ("psa.metric", "ClientTime")
    kinds = {each["name"]: each["type"][1] for each in contract["fields"]}
    assert kinds == {
        "customer_id": "string",
        "month": "string",
        "seconds": "long",
        "worth": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4},
        "version": "long",
        "as_of": {"type": "long", "logicalType": "timestamp-millis"},
    }
    docs = {each["name"]: each["doc"] for each in contract["fields"]}
    assert (docs["seconds"], docs["worth"]) == ("Sum in s.", "Sum in currency.")


def test_rows_add_their_number_and_their_sums_undivided() -> None:
    own = load_measure(HEADER + QUERY, "a.sql")
    rows = [("c", date(2026, 11, 30), 60, Decimal("1.5"), "approved")] * 2
    rows += [("c", date(2026, 11, 1), None, None, "a;b, FROM ("), ("d", None, 1, None, "open")]
    names = ["customer_id", "work_on", "seconds", "bill_rate", "status"]
    schema = rows_schema("time_entry")
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in names}, orient="row")
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items()]
    frame = frame.with_columns(each for each in missing if each.meta.output_name() not in names)
    assert own.contributions(frame) == [("c|2026-11", (3, 120, 180 * 10_000))]
    assert own.contributions(frame.clear()) == []


def test_a_definition_is_known_by_all_that_decides_its_figures() -> None:
    first = load_measure(HEADER + QUERY, "a.sql").definition
    assert load_measure(HEADER + QUERY, "b.sql").definition == first
    other = load_measure(HEADER + QUERY.replace("'approved'", "'open'"), "a.sql")
    assert other.definition != first


@pytest.mark.parametrize(
    ("line", "query"),
    [
        (1, "SELECT status, AVG(seconds) AS s FROM time_entry GROUP BY status"),
        (2, "SELECT status,\nMIN(seconds) AS s FROM time_entry GROUP BY status"),
        (1, "SELECT status, MAX(seconds) AS s FROM time_entry GROUP BY status"),
        (1, "SELECT status, SUM(DISTINCT seconds) AS s FROM time_entry GROUP BY status"),
        (1, "SELECT status, SUM(seconds) OVER () AS s FROM time_entry GROUP BY status"),
        (3, "SELECT status, SUM(seconds) AS s\nFROM time_entry\nJOIN task ON 1 GROUP BY status"),
        (1, "SELECT status, SUM(seconds) AS s FROM time_entry, task GROUP BY status"),
        (1, "SELECT status, SUM(seconds) AS s FROM (SELECT 1) GROUP BY status"),
        (2, "SELECT status, SUM(seconds) AS s FROM time_entry WHERE id IN\n(SELECT 1) GROUP BY 1"),
        (1, "SELECT status, SUM(seconds) AS s FROM time_entry WHERE work_on < NOW() GROUP BY 1"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry WHERE work_on < CURRENT_DATE GROUP BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a HAVING SUM(b) > 1"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a ORDER BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a LIMIT 1"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a UNION SELECT 1"),
        (1, "SELECT a, SUM(b) / COUNT(*) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, 1 + SUM(b) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, ABS(SUM(b)) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(SUM(b)) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b) FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b) AS 's' FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry"),
        (1, "SELECT SUM(b) AS s FROM time_entry GROUP BY ALL"),
        (1, "SELECT a, b + 1 AS c, SUM(b) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a, c"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP a"),
        (1, "SELECT a, SUM((b) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b)) AS s FROM time_entry GROUP BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a WHERE a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry FROM task GROUP BY a"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a; SELECT 1"),
        (1, "SELECT a, SOUNDEX(b) AS c, SUM(b) AS s FROM time_entry GROUP BY a, c"),
        (1, "SELECT a # b"),
        (2, "SELECT a, SUM((b) AS s FROM time_entry GROUP BY\na"),
        (2, "SELECT a, SUM(b) AS s FROM\ntime_entry"),
        (1, "SELECT a, SUM(b) AS s FROM time_entry GROUP BY a\nWHERE a"),
        (1, "DELETE FROM time_entry"),
    ],
)
def test_what_is_not_linear_is_refused_with_its_line(line: int, query: str) -> None:
    with pytest.raises(ConfigError, match=rf"^a\.sql: line {line + 6}: ") as raised:
        load_measure(HEADER + query, "a.sql")
    assert "psastream docs metrics" in raised.value.hint


def test_a_file_without_a_query_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no SELECT"):
        load_measure(HEADER, "a.sql")


@pytest.mark.parametrize(
    ("former", "now", "line", "said"),
    [
        ("client_time", "Client", 2, "'Client' is no name"),
        ("client_time", "utilization", 2, "utilization is a measure of the product"),
        ("key: customer_id, month", "key: month", 3, "the query has customer_id, month"),
        ("sums: seconds, worth", "sums: seconds", 4, "the query has seconds, worth"),
        ("unit: s, currency", "unit: s", 5, "one for each of the sums"),
        ("period: month", "period: day", 6, "a column of the key, or none"),
        ("-- period:", "-- perod:", 6, "no perod, did you mean period"),
        ("-- unit: s, currency\n", "", 1, "the header has no unit"),
        ("-- unit: s, currency\n", "-- key: a\n", 5, "key is there twice"),
        ("unit: s, currency", "unit:", 5, "unit says nothing"),
        ("SUM(seconds) AS", "SUM(secnds) AS", 8, 'column "secnds", did you mean seconds'),
        ("time_entry", "time_entri", 10, "no object time_entri, did you mean time_entry"),
        ("SUM(seconds) AS", "SUM(seconds / 3600) AS", 8, "seconds is Float64"),
        ("STRFTIME(work_on, '%Y-%m')", "seconds / 2", 7, "month is Float64"),
        ("STRFTIME(work_on, '%Y-%m')", "UPPER(work_on)", 7, ""),
        ("STRFTIME(work_on, '%Y-%m')", "CAST(notes AS INTEGER)", 7, ""),
        ("AS month", "AS status", 7, "status is a column of time_entry already"),
        ("AS month", "AS version", 7, "version cannot be the name of a column"),
        ("AS month", "AS Month", 7, "Month cannot be the name of a column"),
        ("AS worth", "AS seconds", 7, "seconds is there twice"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(former: str, now: str, line: int, said: str) -> None:
    text = HEADER + QUERY
    assert former in text
    text = text.replace(former, now, 1)
    for column in ("status", "version", "Month"):  # the header and GROUP BY agree with the query
        if now == f"AS {column}":
            text = text.replace("_id, month", f"_id, {column}").replace("BY month", f"BY {column}")
            text = text.replace("period: month", f"period: {column}")
    if now == "AS seconds":
        text = text.replace("sums: seconds, worth", "sums: seconds, seconds")
    with pytest.raises(ConfigError) as raised:
        load_measure(text, "a.sql")
    assert raised.value.detail.startswith(f"a.sql: line {line}: ")
    assert said in raised.value.detail


@pytest.mark.parametrize(
    "values",
    [("a", "b"), ("a|b", "c"), ("a", "b|c"), ("\\", "|"), (None, "\\N"), ("", ""), ("",), (None,)],
)
def test_keys_of_any_values_are_told_apart_and_read_again(values: tuple[Any, ...]) -> None:
    assert key_parts(key_text(values)) == list(values)


def test_keys_of_other_types_are_their_text() -> None:
    assert key_text((True, False, 3, date(2026, 11, 30))) == "true|false|3|2026-11-30"
