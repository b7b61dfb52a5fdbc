"""Tables of topics, forms of rows, and the star schema, without a database."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from psastream.query.views import packaged_views
from psastream.read_model.landing import (
    as_csv,
    definitions,
    ends_early,
    fingerprint,
    landed,
    landing_tables,
)
from psastream.read_model.star import (
    BI_ROLE,
    PAY_ROLE,
    parse_star,
    publication,
    published_names,
    star_fingerprint,
    star_views,
)
from psastream.read_model.store import migrations
from schemas.codec.record import load_schema
from schemas.errors import ConfigError
from schemas.topics import Cleanup, Criticality, Topic
from tests.support.catalogue import BY_NAME, CATALOGUE, COMMANDS

TABLES = landing_tables(CATALOGUE)
BY_TOPIC = {table.topic.name: table for table in TABLES}


def test_public_topics_that_keep_their_rows_have_a_table() -> None:
    assert BY_TOPIC.keys() >= {"psa.time_entry", "psa.command.float", "psa.metric.utilization"}
    for name in BY_TOPIC:
        assert BY_NAME[name].cleanup is Cleanup.COMPACT
        assert not name.startswith(("psa.internal.", "src."))
    assert BY_TOPIC.keys() & {"psa.dlq", "psa.command_retry"} == set()


def test_columns_have_the_types_of_the_contract() -> None:
    columns = BY_TOPIC["psa.metric.project_margin"].columns
    assert columns["margin"] == "numeric(38,6)"
    assert columns["seconds"] == "bigint"
    assert columns["as_of"] == "timestamptz"
    assert BY_TOPIC["psa.time_entry"].columns["work_on"] == "date"
    assert BY_TOPIC["psa.rate_card"].columns["cost_rates"] == "jsonb"
    # Records of kinds are left out: the payload says the same.
    assert set(COMMANDS[0].contents) & BY_TOPIC[COMMANDS[0].name].columns.keys() == set()


def test_two_topics_with_one_table_are_refused() -> None:
    twin = replace(BY_NAME["psa.metric.utilization"], name="psa.metric_utilization")
    with pytest.raises(ConfigError, match="would have one table"):
        landing_tables([*CATALOGUE, twin])


def test_rows_that_tell_pay_are_guarded() -> None:
    guarded = {name for name, table in BY_TOPIC.items() if table.has_pay}
    assert guarded == {topic.name for topic in CATALOGUE if topic.pay_data}
    assert guarded >= {"psa.rate_card", "psa.time_entry", "psa.compensation", "psa.payroll_cost"}
    statements = definitions("psa_landing_7", TABLES, PAY_ROLE)
    policies = [each for each in statements if each.startswith("CREATE POLICY")]
    assert len(policies) == len(guarded)
    assert all(f"TO {PAY_ROLE}" in each for each in policies)


def test_other_columns_or_a_topic_made_anew_are_another_layout() -> None:
    ids = {name: name for name in BY_TOPIC}
    known = fingerprint(TABLES, ids)
    assert fingerprint(TABLES[::-1], ids) == known
    assert fingerprint(TABLES, {**ids, "psa.role": "other"}) != known
    assert fingerprint(TABLES[1:], ids) != known
    more = replace(TABLES[0], columns={**TABLES[0].columns, "more": "text"})
    assert fingerprint([more, *TABLES[1:]], ids) != known


def test_rows_are_csv_that_keeps_nulls_texts_and_digits() -> None:
    contract = load_schema(
        '{"type":"record","name":"R","fields":[{"name":"a","type":"string"},'
        '{"name":"n","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":6}},'
        '{"name":"d","type":{"type":"int","logicalType":"date"}},'
        '{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},'
        '{"name":"b","type":"bytes"},{"name":"l","type":{"type":"array","items":"string"}}]}'
    )
    topic = Topic("psa.r", None, "id", "test", Criticality.MEDIUM, contract=contract)
    [table] = landing_tables([topic])
    rows = {
        "a": ["", None, 'a"b\n\0'],
        "n": [Decimal("12345678901234567890123456789012.123456"), None, Decimal(0)],
        "d": [date(2026, 3, 1), None, None],
        "at": [datetime(2026, 3, 1, 8, 0, 0, 5000, UTC), None, None],
        "b": [b"\x00\xff", None, b""],
        "l": [["x", "ä"], None, []],
    }
    schema = {"n": pl.Decimal(38, 6), "d": pl.Date, "at": pl.Datetime("ms", "UTC")}
    frame = pl.DataFrame(rows, schema_overrides=schema)
    assert as_csv(landed(frame, table)).decode() == (
        '"",12345678901234567890123456789012.123456,2026-03-01,2026-03-01T08:00:00.005+0000,'
        '\\x00ff,"[""x"", ""ä""]"\n'
        ",,,,,\n"
        '"a""b\n␀",0.000000,,,\\x,[]\n'
    )


def test_json_shows_nul_and_keeps_a_backslash_that_looks_like_it() -> None:
    table = BY_TOPIC["psa.absence"]
    texts = ["C:\\u0000", "a\0b", "\\\0"]
    frame = pl.DataFrame({name: [None] for name in table.columns}).with_columns(
        resource_refs=pl.Series([texts])
    )
    [[told]] = landed(frame, table).select("resource_refs").rows()
    assert json.loads(told) == ["C:\\u0000", "a␀b", "\\␀"]


def test_a_line_that_ends_csv_for_postgresql_is_seen() -> None:
    assert ends_early(b"\\.\n")
    assert ends_early(b'"a\n\\.b"\n')
    assert not ends_early(b'"a\\.b"\n')


def test_every_view_of_sql_is_in_the_star_under_its_name() -> None:
    assert {view.like for view in star_views() if view.like} == {
        view.name for view in packaged_views()
    }


@pytest.mark.parametrize("view", star_views(), ids=lambda view: view.name)
def test_a_view_explains_itself(view: object) -> None:
    assert view in star_views()
    [found] = [each for each in star_views() if each is view]
    names = [column.name for column in found.columns]
    assert len(names) == len(set(names))
    assert set(found.key) <= set(names)
    assert found.summary.endswith(".")


def test_a_file_may_take_columns_of_a_view_of_sql_and_say_one_otherwise() -> None:
    text = "-- What.\n-- like: pipeline\n-- key: stage\n-- columns:\n"
    text += "--   amount | currency | Other.\n--   own | h | New.\nSELECT 1"
    view = parse_star("fact_x", text)
    assert [column.name for column in view.columns][-2:] == ["as_of", "own"]
    assert {column.name: column.meaning for column in view.columns}["amount"] == "Other."
    assert (view.like, view.key) == ("pipeline", ("stage", "currency"))


def test_everything_is_granted_to_somebody_and_pay_to_nobody_else() -> None:
    statements = list(publication("psa_landing_7", TABLES))
    grants = [each for each in statements if each.startswith("GRANT SELECT")]
    for name in published_names(TABLES):
        [grant] = [each for each in grants if re.search(rf"\.\"?{name}\"? TO", each)]
        assert (BI_ROLE in grant) is not name.startswith("pay_")
        assert PAY_ROLE in grant
    assert "landing." not in "".join(statements).replace("psa_landing_7.", "")


def test_a_measure_of_the_firm_is_a_view_for_the_pay_role() -> None:
    own = replace(
        BY_NAME["psa.metric.utilization"],
        name="psa.metric.own",
        record=None,
        contract=load_schema(
            '{"type":"record","name":"Own","doc":"Of ours.",'
            '"fields":[{"name":"a","type":"string","doc":"Sum in s."}]}'
        ),
    )
    tables = landing_tables([*CATALOGUE, own])
    statements = list(publication("l", tables))
    assert 'CREATE OR REPLACE VIEW psa."own" AS SELECT "a" FROM l."metric_own"' in statements
    assert f'GRANT SELECT ON psa."own" TO {PAY_ROLE}' in statements
    assert "COMMENT ON VIEW psa.\"own\" IS 'Of ours.'" in statements
    assert 'COMMENT ON COLUMN psa."own"."a" IS \'Sum in s.\'' in statements
    assert star_fingerprint(tables) != star_fingerprint(TABLES)


def test_without_systems_that_take_commands_there_are_none() -> None:
    tables = [table for table in TABLES if table.topic not in COMMANDS]
    assert definitions("l", tables, PAY_ROLE)[-1].startswith("CREATE TABLE l.all_commands")


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [int(name.partition("_")[0]) for name, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
