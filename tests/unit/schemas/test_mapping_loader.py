"""A mapping.yaml is checked against the contracts on both sides, and says all that is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from schemas.errors import ConfigError
from schemas.mapping_config import parse_config
from schemas.mapping_loader import load_mappings
from schemas.topics import SOURCES
from tests.support.source_events import SYSTEMS, mapping_text

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
        "job: no such source topic",
        "unknown field role.nmae",
        "unknown field role.age",
        "role.name has no rule",
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


@pytest.mark.fault("D9", place="schemas/mapping_loader.py")
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


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_code_that_a_source_gives_is_checked_to_be_one(system: str) -> None:
    """A code of no form would name projects and commands that no system takes."""
    for name, config in parse_config(mapping_text(system)).objects.items():
        for target in config.targets:
            for field, rule in target.fields.items():
                for kind in ("country", "currency"):
                    if rule.columns and field.removesuffix("_code").endswith(kind):
                        check = target.checks.get(field)
                        assert check is not None, (name, field)
                        assert getattr(check, kind), (name, field)
