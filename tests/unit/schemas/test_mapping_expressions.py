"""`sql`, `when` and `vars` of a mapping.yaml: what rows become, and where problems are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.codec.columnar import ChunkDecoder
from schemas.codec.record import RecordCodec
from schemas.envelope import UNAVAILABLE
from schemas.errors import ConfigError
from schemas.mapping.compiled import ObjectMapping
from tests.support.catalogue import load_mappings

HEAD = """
system: inhouse
capture: debezium
objects:
  works:
    kind: work
    key: id
    columns: {id: long, name: text, state: text, hours: "decimal(9,2)", minutes: int, price: text}
"""
TASK = "    targets:\n      - entity: task\n"


def mapping(body: str) -> ObjectMapping:
    return load_mappings(HEAD + body)["src.inhouse.works"]


def mapped(made: ObjectMapping, *rows: dict[str, Any], op: str = "u") -> list[Any]:
    """Of each row its records by target, those that do not exist left out, or why it is refused."""
    codec = RecordCodec(made.reader)
    payloads = []
    for row in rows:
        names = [name for name in row_fields(made) if name != "id"]
        after = {"id": 1, **{name: row.get(name) for name in names}}
        source = {"ts_ms": 1, "sequence": '["1"]', "lsn": 1, "snapshot": None}
        payloads.append(codec.encode({"before": None, "after": after, "source": source, "op": op}))
    found = made.apply(ChunkDecoder(made.reader).decode(payloads, prefix=0))
    outcomes: list[Any] = []
    for number, told in enumerate(found.rows.to_dicts()):
        if told["rejection"] is not None:
            outcomes.append(made.rejections[told["rejection"]].detail)
            continue
        outcomes.append(
            [
                frame.to_dicts()[number]
                for target, frame in zip(made.targets, found.targets, strict=True)
                if target.exists is None or told[target.exists]
            ]
        )
    return outcomes


def row_fields(made: ObjectMapping) -> list[str]:
    [after] = [each for each in json.loads(made.reader.text)["fields"] if each["name"] == "after"]
    return [each["name"] for each in after["type"][1]["fields"]]


def problems(body: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        mapping(body)
    return list(refused.value.problems)


def test_an_expression_stands_where_a_column_does() -> None:
    made = mapping(
        "    targets:\n      - entity: time_entry\n        fields:\n"
        "          resource_id: {sql: \"split_part(name, ' ', 1)\", mint: resource}\n"
        "          project_ref: {sql: 'minutes + 1', source_id: 'inhouse:project'}\n"
        "          seconds: {sql: 'hours * 2', duration: hours}\n"
        "          hours: {sql: 'hours * 0.50'}\n"
        "          status: {sql: \"state || 'ed'\", values: [approved]}\n"
        "          notes: {first_non_null: [{sql: 'price'}, {from: name}]}\n"
    )
    [[entry]] = mapped(made, {"name": "a b", "minutes": 1, "hours": "1.50", "state": "approv"})
    assert entry["project_ref"] == "inhouse:project:2"
    assert entry["resource_id"].startswith("res-")
    assert entry["seconds"] == 10_800
    assert str(entry["hours"]) == "0.75"
    assert (entry["status"], entry["notes"]) == ("approved", "a b")
    assert entry["task_ref"] is None  # no rule, and no list of what has none
    lost, unknown = mapped(made, {"hours": "1.25"}, {"state": "reject"})
    assert lost == "the expression has no value of time_entry.hours"
    assert unknown == "the expression has no value of time_entry.status"


def test_a_row_without_a_value_is_refused_alone_by_field_and_reason() -> None:
    made = mapping(
        "    targets:\n      - entity: expense\n        fields:\n"
        "          amount: {sql: 'CAST(price AS DECIMAL(18,4))'}\n"
    )
    sound, refused, null = mapped(made, {"price": "1.5"}, {"price": "1,5"}, {"price": None})
    assert str(sound[0]["amount"]) == "1.5000"
    assert refused == "expense.amount: a value is no DECIMAL(18,4)"
    assert null[0]["amount"] is None


def test_what_a_first_non_null_does_not_reach_refuses_nothing() -> None:
    made = mapping(
        "    targets:\n      - entity: expense\n        fields:\n          amount:\n"
        "            first_non_null:\n"
        "              - {sql: 'CAST(hours AS DECIMAL(18,4))'}\n"
        "              - {sql: 'CAST(price AS DECIMAL(18,4))'}\n"
    )
    reached = mapped(made, {"price": "x"}, {"price": "x", "hours": "2.00"}, {"price": "3"})
    assert reached[0] == "expense.amount: a value is no DECIMAL(18,4)"
    assert [str(row[0]["amount"]) for row in reached[1:]] == ["2.0000", "3.0000"]


WHEN = (
    "    vars: {kind: \"lower(split_part(state, '/', 1))\", many: 'CAST(price AS INTEGER)'}\n"
    "    targets:\n"
    "      - entity: task\n        when: kind = 'task' AND many > 1\n"
    "        fields: {name: {from: name}}\n        required: [name]\n"
    "        checks: {name: {length: 1}}\n"
    "      - entity: role\n        when: kind = 'role'\n"
    "        fields: {name: {sql: 'kind || name'}}\n"
)


def test_a_target_exists_where_its_condition_is_true() -> None:
    made = mapping(WHEN)
    both = mapped(
        made,
        {"state": "TASK/1", "price": "2", "name": "a"},
        {"state": "TASK/1", "price": "1", "name": "a"},
        {"state": "role", "price": "x", "name": "a"},
        {"state": None, "price": "2", "name": "a"},
    )
    names = [[(record["id"], record["name"]) for record in row] for row in both]
    assert names == [[("inhouse:work:1", "a")], [], [("inhouse:work:1", "rolea")], []]


def test_rules_and_checks_hold_for_what_exists() -> None:
    made = mapping(WHEN)
    assert mapped(
        made,
        {"state": "task", "price": "2", "name": "ab"},
        {"state": "task", "price": "1", "name": "ab"},
        {"state": "task", "price": "2", "name": None},
        {"state": "task", "price": "1", "name": None},
        {"state": "task", "price": "x", "name": "a"},
    ) == [
        "name must have 1 characters",
        [],
        "name is missing",
        [],
        "task, when: a value is no INTEGER",
    ]


@pytest.mark.parametrize("column", ["state", "price"])
def test_i12_a_column_that_was_not_sent_decides_nothing(column: str) -> None:
    row = {"state": "task", "price": "2", "name": "a"} | {column: UNAVAILABLE}
    assert mapped(mapping(WHEN), row) == [f"{column} was not sent by the source"]


def test_a_deleted_row_needs_no_value() -> None:
    made = mapping(WHEN)
    assert isinstance(mapped(made, {"state": "task", "price": "x"}, op="d")[0], list)


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("{sql: naem}", 12, 23),
        ("{sql: 'upper(naem)'}", 12, 30),
        ("{sql: \"'it''s' || naem\"}", 12, 35),
        ("{sql: '''s'' || naem'}", 12, 33),
        ("\n            sql: naem", 13, 18),
        ("\n            sql: |\n              upper(\n                naem)", 15, 17),
        ("\n            sql: >-\n              upper(naem)", 14, 21),
        ("\n            sql: upper(\n              naem)", 14, 15),
        ("{first_non_null: [{from: name}, {sql: naem}]}", 12, 55),
    ],
)
def test_a_problem_is_told_where_it_stands(written: str, line: int, column: int) -> None:
    body = TASK + f"        fields:\n          name: {written}\n"
    told = f"line {line}, column {column}: works: unknown source column naem; did you mean name?"
    assert problems(body) == [f"mapping.yaml: {told}"]


def test_an_expression_that_ends_too_early_is_told_at_its_end() -> None:
    [problem] = problems(TASK + "        fields:\n          name: {sql: 'name ||'}\n")
    assert "line 12, column 31: works: a value is missing at the end" in problem


def test_each_problem_is_a_line() -> None:
    found = problems(
        "    vars: {name: \"'x'\", now: now()}\n"
        "    targets:\n"
        "      - entity: task\n        when: name\n"
        "        fields: {name: {sql: minutes}, is_billable: {sql: 'minutes > x'}}\n"
        "      - entity: role\n        when: nam\n        fields: {name: {from: nam}}\n"
    )
    told = [problem.removeprefix("mapping.yaml: line ").partition(": works: ") for problem in found]
    assert {(place, text) for place, _, text in told} == {
        ("9, column 19", "name is a name already"),
        ("9, column 30", "now depends on the clock: a row must mean the same whenever it is read"),
        ("12, column 15", "the expression is not true or false"),
        ("13, column 70", "unknown source column x"),
        ("15, column 15", "unknown source column nam; did you mean name?"),
        ("13, column 30", "task.name: Int32 does not become String"),
        ("16", "role.name: unknown source column nam; did you mean name?"),
    }


@pytest.mark.parametrize(
    "rule",
    [
        "{sql: name, from: name}",
        "{sql: name, constant: x}",
        "{sql: name, first_non_null: [{from: name}]}",
        "{sql: name, text: trim, source_id: 'a:b'}",
        "{sql: ''}",
        "{sql: 5}",
    ],
)
def test_a_rule_has_one_source(rule: str) -> None:
    assert problems(TASK + f"        fields:\n          name: {rule}\n")


def test_a_column_in_unset_kept_is_no_expression() -> None:
    [problem] = problems(TASK + "        fields: {name: {sql: name}}\n        unset_kept: [name]\n")
    assert "task.name is in unset_kept, so its rule must be a copy" in problem


def test_equal_expressions_are_computed_once() -> None:
    made = mapping(
        "    targets:\n      - entity: task\n        fields: {name: {sql: upper(name)}}\n"
        "      - entity: role\n        fields: {name: {sql: upper(name)}}\n"
    )
    assert len(made.computed) == 1
    assert row_fields(made) == ["id", "name"]  # and nothing else is read


def test_a_field_that_is_required_has_a_rule() -> None:
    body = TASK + "        fields: {is_billable: {constant: true}}\n        required: [name, id]\n"
    [problem] = problems(body)
    assert "task.name is required and absent" in problem
