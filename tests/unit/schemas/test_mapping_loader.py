"""A mapping.yaml is checked against the contracts on both sides, and says all that is wrong."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import yaml

from schemas.errors import ConfigError
from schemas.mapping.rules import RuleError
from schemas.mapping.trial import try_out
from schemas.yaml_text import line_of
from tests.support.catalogue import SOURCES, SYSTEMS, load_mappings
from tests.support.source_events import mapping_text

ROLE = """
system: float
capture: polled
objects:
  role:
    kind: role
    key: id
    targets:
      - entity: role
        fields: {name: {from: name}, correlation_id: {constant: cor}}
"""


def with_rule(field: str, rule: str) -> str:
    text: str = yaml.safe_dump(changed(field, rule))
    return text


def changed(field: str, rule: str) -> dict[str, object]:
    config = yaml.safe_load(ROLE)
    config["objects"]["role"]["targets"][0]["fields"][field] = yaml.safe_load(rule)
    return dict(config)


def test_every_source_topic_of_the_catalogue_has_a_mapping() -> None:
    mapped = {topic for system in SYSTEMS for topic in load_mappings(mapping_text(system))}
    assert mapped == {topic.name for topic in SOURCES}


def test_the_smallest_mapping_loads() -> None:
    assert list(load_mappings(ROLE)) == ["src.float.role"]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{from: nam}", "unknown source column nam"),
        ("{from: id}", "does not become String"),
        ("{from: name, scale: '0.01'}", "scale is for decimals"),
        ("{from: name, negate: true}", "negate is not for String"),
        ("{from: cost_rate, source_id: 'float:role'}", "an id cannot be Decimal"),
        ("{from: name, source_id: float}", "is not <system>:<kind>"),
        ("{from: name, values: {1: one}}", "1 is not a value of String"),
        ("{constant: 3}", "3 is not a value of String"),
        ("{from: id, mint: resource}", "mint is not for Int64"),
        ("{from: cost_rate, mint: resource}", "mint is not for Decimal"),
    ],
)
def test_a_rule_that_does_not_fit_the_types_is_refused(rule: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_mappings(with_rule("name", rule))


@pytest.mark.parametrize(
    "rule",
    [
        "{from: name, upper: true}",
        "{from: name, text: shout}",
        "{from: name, text: trim, negate: true}",
        "{mint: customer, from: name}",
        "{text: trim}",
        "{constant: x, from: name}",
        "{from: [name, id]}",
        "{constant: 1.5}",
    ],
)
def test_words_outside_the_vocabulary_are_refused(rule: str) -> None:
    with pytest.raises(ConfigError, match="mapping is not valid"):
        load_mappings(with_rule("name", rule))


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
def test_d9_two_objects_that_would_give_the_same_ids_are_refused() -> None:
    text = mapping_text("inhouse").replace("    kind: task\n", "    kind: project\n")
    line = line_of(text, ("objects", "tasks", "kind"))
    with pytest.raises(ConfigError, match=f"line {line}: tasks: kind project is that of projects"):
        load_mappings(text)
    config = yaml.safe_load(text)
    del config["objects"]["tasks"]["targets"]  # nothing is made of its rows
    assert "src.inhouse.tasks" not in load_mappings(yaml.safe_dump(config))


def test_all_problems_are_named_at_once() -> None:
    config = yaml.safe_load(ROLE)
    config["objects"]["job"] = config["objects"]["role"]
    target = {
        "entity": "role",
        "fields": {"nmae": {"from": "name"}, "correlation_id": {"from": "gone"}},
        "required": ["age"],
        "checks": {"name": {"between": [0, 1]}},
        "unset_kept": ["correlation_id", "name"],
    }
    config["objects"]["role"] = {"kind": "role", "key": "id", "targets": [target]}
    with pytest.raises(ConfigError) as refused:
        load_mappings(yaml.safe_dump(config))
    for problem in (
        "job: the contract is missing: avro/job.avsc",
        "unknown field role.nmae",
        "unknown field role.age",
        "unknown source column gone",
        "between is for numbers",
        "role.name is in unset_kept",
    ):
        assert problem in str(refused.value)


@pytest.mark.parametrize(
    "rule",
    [
        "{constant: x}",
        "{first_non_null: [{from: name}, {from: name}]}",
        "{from: name, text: trim}",
        "{from: [id, name], mint: project, of: 'float:role'}",
    ],
)
def test_a_value_is_kept_only_where_the_rule_copies_it(rule: str) -> None:
    config: Any = changed("name", rule)
    config["objects"]["role"]["targets"][0]["unset_kept"] = ["name"]
    with pytest.raises(ConfigError, match=r"role\.name is in unset_kept"):
        load_mappings(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("checks", "source_checks", "required"),
    [({"name": {"length": 2}}, {}, []), ({}, {"name": {"length": 2}}, []), ({}, {}, ["name"])],
)
def test_nothing_checks_a_value_that_is_kept(
    checks: dict[str, Any], source_checks: dict[str, Any], required: list[str]
) -> None:
    """The check would judge the placeholder, and the kept value would pass it by."""
    config = yaml.safe_load(ROLE)
    [target] = config["objects"]["role"]["targets"]
    target |= {"unset_kept": ["name"], "checks": checks, "required": required}
    config["objects"]["role"]["source_checks"] = source_checks
    with pytest.raises(ConfigError, match=r"role\.name is in unset_kept, so nothing can check it"):
        load_mappings(yaml.safe_dump(config))


def test_a_decimal_never_loses_digits() -> None:
    text = mapping_text("inhouse").replace("bill_rate: decimal(18,4)", "bill_rate: decimal(18,6)")
    with pytest.raises(ConfigError, match="would lose digits"):
        load_mappings(text)


def test_a_field_mapped_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"role\.source_system is mapped twice"):
        load_mappings(with_rule("source_system", "{constant: float}"))


def test_two_targets_of_one_entity_are_refused() -> None:
    config = yaml.safe_load(ROLE)
    config["objects"]["role"]["targets"] *= 2
    with pytest.raises(ConfigError, match="role: role is the entity of several targets"):
        load_mappings(json.dumps(config))


@pytest.mark.fault("D9", place="schemas/yaml_text.py")
@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("system: float\ncapture: [", 2, "while|expected"),
        ("system: float\n\tcapture: polled", 2, "cannot start any token"),
        ("system: float\ncapture: \x00", 2, "special characters"),
        ("system: float\nsystem: float", 2, "system is there twice"),
        ("system: float\nobjects:\n  a: &a {}\n  b: *a", 3, "anchors and aliases"),
        ("system: float\nobjects: *a", 2, "anchors and aliases"),
        ("system: float\nobjects:\n  <<: {}", 3, "no name"),
        ("system: float\n[1]: x", 2, "no name"),
        ("system: float\nobjects: 2026-02-30", 2, "no value of .*timestamp"),
        ("system: float\nobjects: !!set true", 2, "expected a mapping node"),
        ("system: float\nobjects: !!omap [1]", 2, "expected a mapping"),
        ("system: float\nobjects: !!seq true", 2, "expected a sequence node"),
        ("system: float\nobjects: !!python/x 1", 2, "could not determine a constructor"),
        ("system: float\nobjects:\n" + "[" * 40, 3, "more than 32 deep"),
        ("x" * 1_000_001, 1, "more than 1000000 characters"),
    ],
)
def test_d9_text_that_is_no_mapping_is_refused_with_its_file_and_line(
    text: str, line: int, problem: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"^float/mapping\.yaml is not yaml: line {line}: .*({problem})"
    ):
        load_mappings(text, "float/mapping.yaml")


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
@pytest.mark.parametrize(
    ("old", "new", "marked", "problem"),
    [
        ("capture: polled", "capture: dreamt", "dreamt", "capture: Input"),
        ("key: id", "keys: id", "  role:", r"objects\.role\.key: Field required"),
        ("key: id", "key: nope", "  role:", "role: unknown source column nope"),
        ("{from: name", "{from: nam", "nam", "unknown source column nam"),
        ("entity: role", "entity: rule", "entity: rule", "role: unknown entity rule"),
        ("\n        fields:", "\n        required: [age]\n        fields:", "entity", "role.age"),
    ],
)
def test_d9_a_mapping_that_is_wrong_is_refused_with_the_lines_of_its_problems(
    old: str, new: str, marked: str, problem: str
) -> None:
    assert old in ROLE
    text = ROLE.replace(old, new, 1)
    [line] = [number for number, row in enumerate(text.splitlines(), 1) if marked in row][:1]
    with pytest.raises(ConfigError) as refused:
        load_mappings(text)
    assert re.search(rf"^mapping\.yaml: .*line {line}: [^;]*{problem}", str(refused.value))


def test_text_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="not yaml"):
        load_mappings("system: [")


@pytest.mark.parametrize(
    "text", ["[" * 2_000, "2026-02-30", "!!bool x", "!!int x", "!!timestamp x", "{[]: 1}", "\x00"]
)
def test_text_that_yaml_cannot_make_a_value_of_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not yaml"):
        load_mappings(text)


@pytest.mark.parametrize("bounds", [["x", 2], [0, "NaN"], [0, "Infinity"]])
def test_a_bound_that_is_no_number_is_refused(bounds: list[object]) -> None:
    config = yaml.safe_load(ROLE)
    config["objects"]["role"]["source_checks"] = {"cost_rate": {"between": bounds}}
    with pytest.raises(ConfigError, match="is not a bound"):
        load_mappings(yaml.safe_dump(config))


def set_in(system: str, path: str, value: object) -> tuple[str, list[Any]]:
    """A shipped mapping with one value changed, below `objects`, and the path of it."""
    document = yaml.safe_load(mapping_text(system))
    name = path.partition(".")[0]
    document["objects"] = {name: document["objects"][name]}
    steps = [int(step) if step.isdigit() else step for step in f"objects.{path}".split(".")]
    part = document
    for step in steps[:-1]:
        part = part[step]
    part[steps[-1]] = value
    return yaml.safe_dump(document, sort_keys=False), steps


BIG = 10**30
HOURS = "time_entries.targets.0"
PERSON = "person.targets.0.fields"
RATES = "person.targets.1.fields.cost_rates"


@pytest.mark.fault("D9", place="schemas/mapping/loader.py")
@pytest.mark.parametrize(
    ("system", "path", "value", "problem"),
    [
        ("inhouse", "time_entries.key", "is_billable", "is_billable: an id cannot be Boolean"),
        ("inhouse", "time_entries.key", "hours", "hours: an id cannot be Decimal"),
        ("inhouse", "time_entries.kind", "a|b", "should match pattern"),
        ("inhouse", "time_entries.deleted_when", "status", "deleted_when is not for String"),
        ("inhouse", "time_entries.deleted_when", "id", "deleted_when is not for Int64"),
        *(
            ("inhouse", "time_entries.columns.hours", f"decimal({digits})", problem)
            for digits, problem in [
                ("39,0", "hours: .* is no type of at most 38 digits"),
                ("0,0", "is no type"),
                ("5,6", "is no type"),
                ("1,0", None),
                ("1,1", None),
                ("38,38", None),
                ("100,2", "unknown column type"),
                ("\u0663,2", "unknown column type"),
            ]
        ),
        *(
            ("inhouse", f"{HOURS}.fields.bill_rate", {"from": "bill_rate", "scale": scale}, problem)
            for scale, problem in [
                (0, "scale: Input should be a valid string"),
                ("NaN", "'NaN' is not a number"),
                ("sNaN", "is not a number"),
                ("-Infinity", "is not a number"),
                ("1e38", "'1e38' is not a number of at most 38 digits"),
                ("1e999999999", "is not a number of at most"),
                ("1e-39", "is not a number of at most"),
                ("1e34", "cannot be computed"),
                ("1e33", None),
            ]
        ),
        *(
            ("inhouse", f"{HOURS}.checks.hours", {"between": bounds}, problem)
            for bounds, problem in [
                ([0, "1e38"], "'1e38' is not a bound of at most 38 digits"),
                ([0, "1e999"], "is not a bound"),
                ([0, "1e-39"], "is not a bound"),
                ([0, "0." + "1" * 39], "is not a bound"),
                ([0, "1." + "1" * 38], "is not a bound"),
                ([25, 24], "nothing lies between 25 and 24"),
                ([24, 24], None),
                ([0, "1e37"], None),
                ([0, "1." + "1" * 37], None),
                ([0, "1e-38"], None),
            ]
        ),
        ("inhouse", f"{HOURS}.checks.currency", {"length": 0}, "greater than or equal to 1"),
        ("inhouse", f"{HOURS}.checks.currency", {"length": 1}, None),
        ("inhouse", f"{HOURS}.checks.currency", {"one_of": []}, "at least 1 item"),
        ("inhouse", f"{HOURS}.checks.seconds", {"one_of": [2**63]}, "is not a value of Int64"),
        ("inhouse", f"{HOURS}.checks.seconds", {"one_of": [2**63 - 1]}, None),
        ("inhouse", f"{HOURS}.checks.seconds", {"one_of": [True]}, "True is not a value of Int64"),
        ("inhouse", f"{HOURS}.checks.seconds", {"one_of": [1.0]}, "one_of"),
        *(
            ("inhouse", f"{HOURS}.fields.seconds", {"constant": number}, problem)
            for number, problem in [
                (2**63 - 1, None),
                (2**63, "is not a value of Int64"),
                (BIG, "is not a value of Int64"),
                (2**200, "is not a value of Int64"),
                (-(2**63) - 1, "is not a value of Int64"),
            ]
        ),
        ("inhouse", f"{HOURS}.fields.is_billable", {"constant": 1.0}, "constant"),
        (
            "inhouse",
            f"{HOURS}.fields.status",
            {"from": "project_id", "values": {BIG: "draft"}},
            "is not a value of Int64",
        ),
        ("inhouse", f"{HOURS}.fields.status", {"from": "status", "values": {}}, "at least 1 item"),
        ("inhouse", f"{HOURS}.fields.status", {"from": "status", "values": []}, "at least 1 item"),
        ("inhouse", f"{HOURS}.fields.bill_rate", {"first_non_null": []}, "at least 1 item"),
        (
            "inhouse",
            f"{HOURS}.fields.project_ref",
            {"from": "project_id", "source_id": "a|b:c"},
            "is not <system>:<kind>",
        ),
        ("inhouse", f"{HOURS}.absent", ["hours"], "time_entry.hours is required and absent"),
        ("inhouse", "time_entries.source_checks", {"id": {"one_of": [BIG]}}, "id: .*of Int64"),
        *(
            ("float", f"{PERSON}.work_hours", {"from": "work_days_hours", "reorder": order}, told)
            for order, told in [
                ([], "at least 1 item"),
                ([-1, 1, 2, 3, 4, 5, 6], "names each place from 0 on once"),
                ([0, 0, 2, 3, 4, 5, 6], "names each place"),
                ([1, 2, 3, 4, 5, 6, 7], "names each place"),
                ([2**80], "names each place"),
                ([0], None),
            ]
        ),
        (
            "float",
            f"{PERSON}.work_patterns",
            {"from": "work_days_hours_history", "work_patterns": [2**80]},
            "names each place",
        ),
        (
            "float",
            f"{PERSON}.name",
            {"from": "work_days_hours_history", "work_patterns": [0]},
            "resource.name: List.* does not become String",
        ),
        *(
            ("float", RATES, {"from": "contracts", "records": records}, problem)
            for records, problem in [
                ({}, "at least 1 item"),
                ({"starts_on": "effective_date"}, "must give starts_on, rate and nothing else"),
                (
                    {"starts_on": "effective_date", "rate": "cost_rate", "x": "cost_rate"},
                    "must give starts_on, rate and nothing else",
                ),
                (
                    {"starts_on": "cost_rate", "rate": "effective_date"},
                    "cost_rate: Decimal.* does not become Date",
                ),
                ({"starts_on": "effective_date", "rate": "x"}, "records has no field x"),
                ({"rate": "cost_rate", "starts_on": "effective_date"}, None),
            ]
        ),
        ("float", RATES, {"from": "name", "records": {"rate": "x"}}, "records is not for String"),
        (
            "float",
            f"{PERSON}.name",
            {"from": "contracts", "records": {"rate": "cost_rate"}},
            "records do not become String",
        ),
    ],
)
def test_d9_a_mapping_that_cannot_work_is_refused_as_it_is_read(
    system: str, path: str, value: object, problem: str | None
) -> None:
    text, steps = set_in(system, path, value)
    if problem is None:
        assert load_mappings(text)
        return
    with pytest.raises(ConfigError) as refused:
        load_mappings(text)
    first, within = line_of(text, steps), line_of(text, steps[:-1])
    lines = {within, *range(first, first + 4)}  # of the value, or of what it is a part of
    assert re.search(rf"line ({'|'.join(map(str, lines))}): [^;]*{problem}", str(refused.value))


@pytest.mark.fault("D9", place="schemas/mapping/trial.py")
@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        (pl.col("a") + 1, None),
        (pl.col("a").cast(pl.Int32), "Int32 does not become Int64"),
        (pl.col("b"), "cannot be computed: .*b"),
        (pl.col("a").list.len(), "cannot be computed"),
        (pl.col("a") // pl.lit("x"), "cannot be computed"),
        (pl.when(pl.col("a") == 1).then(pl.lit("x").str.to_date("%Y").cast(int)), "computed"),
        (pl.lit(Decimal("1e-100")) + pl.col("a"), "cannot be computed"),
    ],
)
def test_d9_what_cannot_be_computed_is_found_without_a_row(
    expr: pl.Expr, problem: str | None
) -> None:
    if problem is None:
        try_out(expr, {"a": pl.Int64()}, pl.Int64())
        return
    with pytest.raises(RuleError, match=problem):
        try_out(expr, {"a": pl.Int64()}, pl.Int64())


def test_an_expression_is_tried_on_ordinary_values_of_any_type() -> None:
    inner = pl.Struct({"x": pl.Decimal(9, 2), "y": pl.List(pl.Date), "z": pl.Boolean})
    columns = {"a": pl.List(inner), "b": pl.String(), "c": pl.Datetime("us", "UTC")}
    seen: list[Any] = []

    def look(values: pl.Series) -> pl.Series:
        seen.append(values.to_list())
        return values

    rows = pl.struct("a", "b", "c").map_batches(look, return_dtype=pl.Struct(columns))
    try_out(rows, columns, pl.Struct(columns))
    day = date(1970, 1, 2)
    value = {"x": Decimal(1), "y": [day], "z": True}
    assert seen[0] == []
    assert seen[-1] == [
        dict.fromkeys("abc"),
        {"a": [value], "b": "1", "c": datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)},
    ]
