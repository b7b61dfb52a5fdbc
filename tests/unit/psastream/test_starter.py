"""What a folder begins with for a database that nobody here designed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from connectors.debezium.client import read_connector_file
from connectors.systems import Systems
from psastream.starter import Column, Table, read_tables, starter_of, write_starter
from schemas.errors import ConfigError
from schemas.mapping.declared import column_type

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"
KEY = Column("id", "int8", is_key=True)
SESSIONS = Table(
    "Session",
    (
        KEY,
        Column("worked", "interval"),
        Column("day", "date"),
        Column("rate", "numeric", precision=18, scale=4),
        Column("state", "session_state", is_enum=True),
        Column("worker_email", "varchar"),
        Column("is_billable", "bool"),
        Column("begun_at", "timestamptz"),
    ),
)


def declared_columns(*columns: Column) -> tuple[dict[str, str], list[str]]:
    starter = starter_of("firm", [Table("t", (KEY, *columns), has_full_identity=True)])
    return starter.mapping["objects"]["t"]["columns"], starter.warnings


def test_tables_are_declared_as_they_are() -> None:
    starter = starter_of("firm", [SESSIONS])
    assert starter.mapping["objects"] == {
        "Session": {
            "kind": "session",
            "key": "id",
            "personal_data": ["worker_email"],
            "columns": {
                "id": "long",
                "worked": "interval",
                "day": "date",
                "rate": "decimal(18,4)",
                "state": "text",
                "worker_email": "text",
                "is_billable": "boolean",
                "begun_at": "timestamptz",
            },
        }
    }


def test_the_connector_is_the_packaged_one_with_other_names() -> None:
    ours = read_connector_file(VENDORS / "inhouse" / "connector.json")
    names = re.compile("inhouse(?:_psa)?", re.IGNORECASE)
    tables = ours.config["table.include.list"].split(",")
    made = starter_of("inhouse", [replace(SESSIONS, name=each.split(".")[1]) for each in tables])
    told = {key: names.sub("", value) for key, value in made.connector["config"].items()}
    assert told == {key: names.sub("", value) for key, value in ours.config.items()}


def test_what_is_written_is_a_sound_system_with_its_connector(tmp_path: Path) -> None:
    starter = starter_of("firm_two", [SESSIONS, replace(SESSIONS, name="tickets")])
    mapping, connector = write_starter(starter, tmp_path / "firm_two")
    system = Systems([mapping.parent]).read("firm_two")
    assert [topic.name for topic in system.topics.values()] == [
        "src.firm_two.Session",
        "src.firm_two.tickets",
    ]
    assert system.mappings == (), "nobody can read from metadata what a row means"
    file = read_connector_file(connector)
    assert file.name == "firm-two"
    assert file.config["table.include.list"] == "firm_two.Session,firm_two.tickets"
    assert file.config["slot.name"] == file.config["publication.name"] == "psastream_firm_two"
    assert file.config["database.hostname"] == "${env:FIRM_TWO_HOST}"
    assert "inhouse" not in json.dumps(file.config).lower()
    assert yaml.safe_load(mapping.read_text()) == starter.mapping


def test_nothing_is_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "firm"
    folder.mkdir()
    (folder / "connector.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"connector\.json is there already"):
        write_starter(starter_of("firm", [SESSIONS]), folder)
    assert [each.name for each in folder.iterdir()] == ["connector.json"]
    assert (folder / "connector.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (Column("x", "_text"), "no mapping reads the type _text"),
        (Column("x", "bytea"), "no mapping reads the type bytea"),
        (Column("x y", "text"), "no field of a record can have this name"),
        (Column("1x", "int4"), "no field of a record can have this name"),
    ],
)
def test_a_column_that_no_mapping_reads_is_left_out_and_said(column: Column, why: str) -> None:
    columns, [warning] = declared_columns(column)
    assert columns == {"id": "long"}
    assert warning.startswith(f"t.{column.name} is left out: ")
    assert why in warning


def test_a_number_of_38_digits_is_declared() -> None:
    columns, warnings = declared_columns(Column("x", "numeric", precision=38, scale=38))
    assert columns["x"] == "decimal(38,38)"
    assert warnings == []


def test_texts_that_are_not_sent_again_are_said_unless_whole_rows_are_logged() -> None:
    table = Table("t", (KEY, Column("x", "text")))
    assert "REPLICA IDENTITY FULL" in starter_of("firm", [table]).warnings[0]
    assert starter_of("firm", [replace(table, has_full_identity=True)]).warnings == []


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ((Column("x", "text"),), "it has no primary key"),
        ((Column("x", "date", is_key=True),), "no id is made of its key x"),
        ((Column("x", "bytea", is_key=True),), "no id is made of its key x"),
        ((KEY, Column("y", "timestamp", is_key=True)), "no id is made of its key y"),
    ],
)
def test_a_table_without_a_key_that_ids_are_made_of_is_left_out_and_said(
    columns: tuple[Column, ...], why: str
) -> None:
    warnings = starter_of("firm", [SESSIONS, Table("t", columns)]).warnings
    assert any(each == f"t is left out: {why}" for each in warnings)


@pytest.mark.parametrize("name", ["order-lines", "_log", "größe", "2026", "t" * 101])
def test_a_table_that_no_topic_can_be_named_after_is_left_out_and_said(
    name: str, tmp_path: Path
) -> None:
    starter = starter_of("firm", [SESSIONS, replace(SESSIONS, name=name)])
    assert f"{name} is left out: no topic can have this name" in starter.warnings
    write_starter(starter, tmp_path / "firm")
    assert list(Systems([tmp_path / "firm"]).read("firm").topics) == ["Session"]


def test_a_name_of_a_hundred_letters_is_declared(tmp_path: Path) -> None:
    starter = starter_of("firm", [replace(SESSIONS, name="t" * 100)])
    write_starter(starter, tmp_path / "firm")
    assert list(Systems([tmp_path / "firm"]).read("firm").topics) == ["t" * 100]


def test_a_schema_of_which_nothing_can_be_captured_is_refused() -> None:
    with pytest.raises(ConfigError, match="no table of firm can be captured; t is left out"):
        starter_of("firm", [Table("t", (Column("x", "text"),))])
    with pytest.raises(ConfigError, match="no tables that this user sees"):
        starter_of("firm", [])


def test_a_schema_that_no_topic_can_be_named_after_is_refused() -> None:
    with pytest.raises(ConfigError, match="Firm cannot be the name of a system") as refused:
        starter_of("Firm", [SESSIONS])
    assert "--system" in refused.value.hint


def test_a_system_may_have_another_name_than_its_schema(tmp_path: Path) -> None:
    starter = starter_of("public", [SESSIONS], system="firm_two")
    mapping, connector = write_starter(starter, tmp_path / "firm_two")
    [topic] = Systems([mapping.parent]).read("firm_two").topics.values()
    config = read_connector_file(connector).config
    assert config["table.include.list"] == "public.Session"
    assert config["slot.name"] == "psastream_firm_two"
    assert config["database.hostname"] == "${env:FIRM_TWO_HOST}"
    router = {key.rpartition(".")[2]: value for key, value in config.items() if "system" in key}
    assert router["type"] == "org.apache.kafka.connect.transforms.RegexRouter"
    assert config["transforms"] == "system"
    routed = re.sub(
        router["regex"], router["replacement"].replace("$1", r"\1"), "src.public.Session"
    )
    assert routed == topic.name == "src.firm_two.Session"
    assert re.fullmatch(router["regex"], "src.publicity.x") is None


def test_a_system_named_after_its_schema_needs_no_route() -> None:
    assert "transforms" not in starter_of("firm", [SESSIONS], system="firm").connector["config"]


def test_some_tables_only_may_be_asked_for() -> None:
    tables = [SESSIONS, replace(SESSIONS, name="tickets"), Table("loose", (Column("x", "text"),))]
    starter = starter_of("firm", tables, only=["tickets"])
    assert [*starter.mapping["objects"]] == ["tickets"]
    assert starter.connector["config"]["table.include.list"] == "firm.tickets"
    assert not any("loose" in each for each in starter.warnings)
    with pytest.raises(ConfigError, match="firm has no table ticket; did you mean tickets"):
        starter_of("firm", tables, only=["tickets", "ticket"])


def test_what_may_be_a_secret_is_not_captured() -> None:
    columns = (KEY, *(Column(name, "varchar") for name in ("password", "reset_token", "tokens")))
    whole = Column("token", "int4")
    starter = starter_of("firm", [Table("users", (*columns, whole)), Table("loose", columns[1:])])
    assert [*starter.mapping["objects"]["users"]["columns"]] == ["id", "tokens", "token"]
    excluded = starter.connector["config"]["column.exclude.list"]
    assert excluded == "firm.users.password,firm.users.reset_token"
    assert "users.password is not captured: it may hold a secret" in starter.warnings


def test_what_no_mapping_reads_is_not_captured() -> None:
    columns = (KEY, Column("tags", "_text"), Column("file", "bytea"), Column("a b", "_text"))
    starter = starter_of("firm", [Table("notes", columns)])
    assert starter.connector["config"]["column.exclude.list"] == "firm.notes.tags,firm.notes.file"


def test_a_key_of_several_columns_is_declared() -> None:
    key = tuple(Column(name, kind, is_key=True) for name, kind in (("a", "int4"), ("b", "date")))
    starter = starter_of("firm", [Table("pair", key)])
    assert starter.mapping["objects"]["pair"]["key"] == ["a", "b"]
    assert starter.warnings == []


@pytest.mark.parametrize(
    ("column", "declared"),
    [
        (Column("x", "timestamp"), "timestamp"),
        (Column("x", "timestamp", scale=3), "timestamp(3)"),
        (Column("x", "time", scale=0), "time(0)"),
        (Column("x", "time"), "time"),
        (Column("x", "interval"), "interval"),
        (Column("x", "float8"), "double"),
        (Column("x", "float4"), "real"),
        (Column("x", "citext"), "text"),
    ],
)
def test_a_type_is_declared_by_its_name(column: Column, declared: str) -> None:
    assert column_type(declared)
    assert declared_columns(column) == ({"id": "long", "x": declared}, [])


@pytest.mark.parametrize(
    "column",
    [
        Column("x", "numeric"),
        Column("x", "numeric", precision=39, scale=2),
        Column("x", "numeric", precision=3, scale=5),
    ],
)
def test_numbers_of_any_scale_are_texts_and_that_is_said(column: Column) -> None:
    columns, [warning] = declared_columns(column)
    assert columns["x"] == "text"
    assert warning == "t.x has numbers of any scale, as text: CAST it to DECIMAL(p,s) in sql"


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        read_tables("postgresql://me:secret@127.0.0.1:1/none", "firm")
    assert "the database cannot be read" in caught.value.detail
    assert "secret" not in str(caught.value)
