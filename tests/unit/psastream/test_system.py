"""`psastream system`: what follows from a folder, and what is made of rows."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from psastream.cli import app
from psastream.exits import Exit
from psastream.system import try_rows
from tests.support.folders import folder_of
from tests.support.rest_api import MAPPING, write_folder
from tests.support.terminals import lines_on_terminal

VENDORS = Path(__file__).parents[3] / "connectors" / "vendors"


def psastream(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["system", *map(str, arguments)])


def tried(
    tmp_path: Path, obj: str, *rows: dict[str, Any], folder: Path = VENDORS / "float"
) -> Result:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    return psastream("try", folder, obj, "--rows", file, "--json")


def test_a_sound_folder_says_what_follows_from_it(tmp_path: Path) -> None:
    result = psastream("check", folder_of(tmp_path, "float_uk"))
    assert result.exit_code == 0
    assert "person: src.float_uk.person makes resource, rate_card" in result.output.splitlines()
    assert result.output.endswith("float_uk is sound: 7 objects\n")


def test_a_folder_of_the_product_can_be_checked_where_it_lies() -> None:
    result = psastream("check", VENDORS / "inhouse", "--json")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert said["system"] == "inhouse"
    assert said["objects"]["time_entries"]["makes"] == ["time_entry"]
    assert said["objects"]["time_entries"]["personal_data"] == [
        "worker_email",
        "notes",
        "cost_rate",
    ]


def test_each_problem_of_a_folder_is_a_line_with_its_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    (folder / "avro" / "role.avsc").unlink()
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("{from: name, text: trim}", "{from: nome}"))
    result = psastream("check", folder)
    assert result.exit_code == 2
    *problems, last = result.output.splitlines()
    assert all(line.startswith("float_uk/mapping.yaml: line ") for line in problems)
    assert any("role: the contract is missing: avro/role.avsc" in line for line in problems)
    assert any("unknown source column nome" in line for line in problems)
    assert last.startswith(f"problems: {len(problems)}; ")
    said = json.loads(psastream("check", folder, "--json").output)
    assert said["problems"] == problems


def test_words_that_no_mapping_has_are_problems_with_their_lines_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("text: trim", "text: shout"))
    problems = json.loads(psastream("check", folder, "--json").output)["problems"]
    assert len(problems) > 1
    assert all("shout" not in line and "float_uk/mapping.yaml: line " in line for line in problems)


def changed(file: Path, **keys: object) -> None:
    """Set keys of a connector file, their names with `_` for `.`; None: without it."""
    named = {name.replace("_", "."): value for name, value in keys.items()}
    document = json.loads(file.read_text()) | named
    kept = {name: value for name, value in document.items() if value is not None}
    file.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("file", "keys", "problem"),
    [
        ("source.json", {"name": "Float UK"}, "name: String should match pattern"),
        ("source.json", {"poll_interval": 5}, "poll.interval: Extra inputs are not permitted"),
        ("source.json", {"page_sizes": "${env:SIZE}"}, "page.sizes: Extra inputs are not permit"),
        ("source.json", {"auth_token": None}, "auth.token: Field required"),
        ("source.json", {"url": "ftp://float"}, "url: "),
        ("source.json", {"auth_token": "${FLOAT_TOKEN}"}, "auth.token: a placeholder is ${env:"),
        (
            "source.json",
            {"connector_class": "connectors.vendors.float.sink.FloatSink"},
            "connector.class: connectors.vendors.float.sink.FloatSink is not connectors.vendors",
        ),
        ("source.json", {"topic_prefix": "src.float"}, "topic.prefix: src.float is not src.float_"),
        (
            "source.json",
            {"object_include_list": "person,people"},
            "object.include.list: there is no people, but person, role",
        ),
        ("sink.json", {"target": "float"}, "target: float is not float_uk"),
        ("sink.json", {"settle_ms": -1}, "settle.ms: Input should be greater"),
        ("sink.json", {"connector_class": "sink"}, "connector.class: sink is not connectors."),
    ],
)
def test_what_is_wrong_with_a_connector_file_is_told_before_anything_reads_it(
    tmp_path: Path, file: str, keys: dict[str, object], problem: str
) -> None:
    folder = folder_of(tmp_path, "float_uk")
    changed(folder / file, **keys)
    result = psastream("check", folder)
    assert result.exit_code == 2
    [told, _] = result.output.splitlines()
    assert told.startswith(f"float_uk/{file}: {problem}")


def test_a_file_that_is_no_connector_file_is_told_and_one_that_is_missing_is_none(
    tmp_path: Path,
) -> None:
    folder = folder_of(tmp_path, "float_uk")
    (folder / "source.json").write_text("[]")
    assert "source.json is not a JSON object" in psastream("check", folder).output
    (folder / "source.json").unlink()
    assert psastream("check", folder).exit_code == 0
    (folder / "connector.json").write_text('{"name": "x", "config": {"topic.prefix": "y"}}')
    assert "topic.prefix is 'y', not src" in psastream("check", folder).output


def test_a_connector_file_of_a_system_that_has_no_such_code_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "harvest_eu", "harvest")
    mapping = folder / "mapping.yaml"
    text = mapping.read_text().replace("vendor: harvest\nvendor: rest\n", "vendor: rest\n")
    mapping.write_text(text)
    assert psastream("check", folder).exit_code == 0
    (folder / "sink.json").write_text("{}")
    assert psastream("check", folder).output.splitlines()[0] == (
        "harvest_eu/sink.json: nothing writes to the system"
    )


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    result = psastream("check", tmp_path / "gone")
    assert result.exit_code == 2
    assert result.output.splitlines()[0] == f"there is no folder {tmp_path / 'gone'}"


def test_a_row_is_shown_as_the_records_that_are_made_of_it(tmp_path: Path) -> None:
    result = tried(tmp_path, "role", {"id": 5, "name": " Architect "})
    assert result.exit_code == 0
    [said] = json.loads(result.output)
    assert said["id"] == "float:role:5"
    assert said["refused"] is None
    assert said["records"]["role"]["name"] == "Architect"
    assert said["records"]["role"]["source_system"] == "float"


def test_a_row_that_is_refused_says_why_and_the_others_are_shown(tmp_path: Path) -> None:
    result = tried(
        tmp_path, "role", {"id": 5, "name": " "}, {"id": 6, "name": "Lead"}, {"name": "No id"}
    )
    assert result.exit_code == 1
    blank, sound, nameless = json.loads(result.output)
    assert blank["refused"] == "name is missing"
    assert sound["records"]["role"]["name"] == "Lead"
    assert nameless["refused"] == "id: null is not a key"


def test_a_row_of_a_database_may_be_written_as_people_do(tmp_path: Path) -> None:
    entry = {
        "id": 1,
        "task_id": 7,
        "project_id": 3,
        "worker_email": "ada@example.com",
        "work_on": "2026-01-05",
        "hours": 7.5,
        "status": "approved",
        "is_billable": True,
        "notes": "2026-01-05",
        "colour": "red",
    }
    result = tried(tmp_path, "time_entries", entry, folder=VENDORS / "inhouse")
    [said] = json.loads(result.output)
    assert said["refused"] is None, said
    made = said["records"]["time_entry"]
    assert made["work_on"] == "2026-01-05"
    assert Decimal(made["hours"]) == Decimal("7.5")
    assert made["seconds"] == 27_000
    assert made["notes"] == "2026-01-05"
    assert said["ignored"] == ["colour"]


def test_a_deleted_row_is_a_delete(tmp_path: Path) -> None:
    row = {"Id": "001000000000001AAA", "Name": "Acme", "IsDeleted": True}
    [said] = json.loads(tried(tmp_path, "account", row, folder=VENDORS / "salesforce").output)
    assert said["is_delete"]
    assert said["records"] == {}


def test_expressions_are_checked_and_tried(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    mapping = folder / "mapping.yaml"
    text = mapping.read_text()
    rule = "name: {from: name, text: trim}"
    at = text.index(rule, text.index("entity: role"))
    when = "when: id <> 6\n        fields:\n          "
    made = 'name: {sql: "name || CAST(CAST(name AS INTEGER) * 2 AS TEXT)"}'
    before = text[:at].rstrip().removesuffix("fields:")
    mapping.write_text(before + when + made + text[at + len(rule) :])
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": 5, "name": "4"}\n{"id": 6, "name": "7"}\n{"id": 7, "name": "x"}\n')
    result = psastream("try", folder, "role", "--rows", file)
    assert result.exit_code == 1
    assert "name=48 " in result.output
    assert "  role: none, its `when` is not true" in result.output.splitlines()
    assert "  refused: role.name: a value is no INTEGER; correct the row, or" in result.output
    mapping.write_text(mapping.read_text().replace("* 2 AS", "* RANDOM() AS"))
    checked = psastream("check", folder)
    assert checked.exit_code == 2
    assert "RANDOM is left to chance" in checked.output
    assert ", column " in checked.output


def test_rows_are_printed_for_people_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": 5, "name": "Lead", "b": 1, "a": 2}\n{"id": 6, "name": ""}\n')
    result = psastream("try", VENDORS / "float", "role", "--rows", file)
    assert result.exit_code == 1
    first, ignored, record, second, refused = result.output.splitlines()
    assert first == "row 1: float:role:5"
    assert ignored == "  ignored: a, b"
    assert record.startswith("  role: id=float:role:5 ")
    assert "name=Lead" in record
    assert second == "row 2: float:role:6"
    assert refused == "  refused: name is missing; correct the row at its source"


REST = """
auth: {type: bearer}
paginator: {type: page_number}
objects:
  visit:
    path: /v1/visits
    columns: {place_id: place.id, text: note.lines.0.text}
"""


@pytest.mark.parametrize(
    ("more", "ignored"),
    [
        ({}, []),
        ({"place": {"id": 7, "name": "Oslo", "area": {"a": 1}}}, ["place.area", "place.name"]),
        ({"place": {"id": None}}, []),
        ({"place": None}, []),
        ({"place": {"name": "Oslo"}}, ["place"]),
        ({"note": {"lines": [{"text": "a", "by": "b"}]}}, []),
        ({"note": {"lines": [], "at": 5}}, ["note"]),
        ({"colour": {"id": 1}}, ["colour"]),
    ],
)
def test_a_field_that_is_read_in_part_is_not_ignored_whole(
    tmp_path: Path, more: dict[str, Any], ignored: list[str]
) -> None:
    targets = "targets: [{entity: expense, fields: {category: {from: text}}}]"
    folder = write_folder(tmp_path, REST, MAPPING.replace("key: id}", f"key: id, {targets}}}"))
    [said] = json.loads(tried(tmp_path, "visit", {"id": 1} | more, folder=folder).output)
    assert said["refused"] is None
    assert said["ignored"] == ignored


def test_rows_are_printed_within_the_columns_of_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"id": 5, "name": "Lead " * 40, "unknown " * 20: 1}))

    def act() -> bool:
        return try_rows(VENDORS / "float", "role", file, as_json=False)

    shown = lines_on_terminal(monkeypatch, act)
    assert max(map(len, shown)) <= 80
    assert " ".join(["Lead"] * 40) in " ".join(each.strip() for each in shown)
    result = psastream("try", VENDORS / "float", "role", "--rows", file)
    assert len(result.output.splitlines()) == 3


@pytest.mark.parametrize(
    ("obj", "text", "problem"),
    [
        ("skill", "[]", "float has no object skill"),
        ("role", "{", "is no JSON"),
    ],
)
def test_what_cannot_be_tried_is_said(tmp_path: Path, obj: str, text: str, problem: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text)
    result = psastream("try", VENDORS / "float", obj, "--rows", file)
    assert result.exit_code == 2
    assert problem in result.output


def test_nothing_is_made_of_an_object_without_targets(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "float_uk")
    mapping = folder / "mapping.yaml"
    text = mapping.read_text()
    start, end = text.index("\n  role:"), text.index("\n  project:")
    mapping.write_text(f"{text[:start]}\n  role: {{kind: role, key: id}}\n{text[end:]}")
    assert "role: src.float_uk.role makes nothing" in psastream("check", folder).output
    assert "nothing is made of role" in tried(tmp_path, "role", folder=folder).output


@pytest.mark.parametrize("is_named", ["by an option", "by the environment"])
def test_a_folder_may_refer_to_another_one_of_the_firm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: str
) -> None:
    sales = folder_of(tmp_path, "sales_uk", like="salesforce")
    delivery = folder_of(tmp_path, "psa2", like="inhouse")
    mapping = delivery / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace('"crm:', '"sales_uk:'))
    alone = psastream("check", delivery)
    assert alone.exit_code == Exit.CONFIG
    assert "there is no system sales_uk" in alone.output
    if is_named == "by an option":
        told = psastream("check", delivery, "--beside", sales)
    else:
        monkeypatch.setenv("PSASTREAM_SYSTEMS", f"{delivery}:{sales}")
        told = psastream("check", delivery)
    assert "psa2 is sound" in told.output


LOOKUPS = """
system: ledger
capture: debezium
objects:
  headers:
    kind: header
    key: id
    columns: {id: long, day: date, at: text, total: "decimal(9,2)", is_open: boolean, count: int}
  lines:
    kind: line
    key: id
    columns: {id: long, header_id: long}
    lookups: {header: {object: headers, by: header_id, columns: [day, total, is_open, count, at]}}
    targets:
      - entity: expense
        fields:
          spent_on: {from: header.day}
          amount: {from: header.total}
          is_billable: {from: header.is_open}
          category: {sql: "CAST(header.count AS TEXT) || header.at"}
"""


def tried_line(tmp_path: Path, header: object) -> Any:
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "mapping.yaml").write_text(LOOKUPS)
    row = {"id": 1, "header_id": 5} | ({} if header is None else {"header": header})
    return tried(tmp_path, "lines", row, folder=folder)


def test_what_a_row_looks_up_is_given_beside_it(tmp_path: Path) -> None:
    header = {"day": "2026-03-01", "total": 12.5, "is_open": False, "count": 3, "at": "x"}
    result = tried_line(tmp_path, header)
    assert result.exit_code == 0
    [told] = json.loads(result.output)
    made = told["records"]["expense"]
    assert (made["spent_on"], made["amount"]) == ("2026-03-01", "12.5000")
    assert (made["is_billable"], made["category"]) == (False, "3x")
    assert told["ignored"] == []


@pytest.mark.parametrize("database", ["mysql", "sqlserver"])
def test_a_row_of_another_database_is_tried_like_one_of_postgresql(
    tmp_path: Path, database: str
) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    declared = LOOKUPS.replace("capture: debezium", f"capture: {database}")
    declared = declared.replace("day: date, at: text", "day: datetimeoffset, at: text")
    declared = declared.replace("spent_on: {from: header.day}", "{}").replace("          {}\n", "")
    (folder / "mapping.yaml").write_text(declared)
    header = {"day": "2026-03-01T08:00:00+11:00", "total": 1, "is_open": True, "count": 1, "at": ""}
    row = {"id": 1, "header_id": 5, "header": header}
    [told] = json.loads(tried(tmp_path, "lines", row, folder=folder).output)

    assert told["refused"] is None
    assert told["records"]["expense"]["amount"] == "1.0000"


def test_a_row_whose_lookup_is_not_given_waits(tmp_path: Path) -> None:
    result = tried_line(tmp_path, None)
    assert result.exit_code == 0
    [told] = json.loads(result.output)
    assert (told["waits"], told["records"]) == ("header is not given, of ledger:header:5", {})
    shown = psastream("try", tmp_path / "ledger", "lines", "--rows", tmp_path / "rows.json")
    assert "  waits: header is not given, of ledger:header:5" in shown.output.splitlines()


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("x", "header is no object with columns among day, total, is_open, count, at"),
        ({"days": None}, "header is no object with columns among day, total, is_open, count, at"),
        ({"day": "yesterday"}, "header.day is no Date: 'yesterday'"),
        ({"day": 5}, "header.day is no Date: 5"),
        ({"count": "x"}, "header.count is no Int32: 'x'"),
        ({"count": True}, "header.count is no Int32: True"),
        ({"is_open": 1}, "header.is_open is no Boolean: 1"),
        ({"at": 1}, "header.at is no String: 1"),
    ],
)
def test_what_cannot_be_looked_up_is_told(tmp_path: Path, header: object, problem: str) -> None:
    result = tried_line(tmp_path, header)
    assert result.exit_code == 2
    assert problem in result.output


def test_an_object_that_is_looked_up_is_said_to_be(tmp_path: Path) -> None:
    tried_line(tmp_path, None)
    result = psastream("check", tmp_path / "ledger")
    assert "headers: src.ledger.headers makes nothing: it is looked up" in result.output
