"""`elements`: a list of what several rules make."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from psastream.system import Tried, tried_row
from schemas.errors import ConfigError
from schemas.mapping.loader import load_system

TEXT = """
system: firm
capture: debezium
objects:
  people:
    kind: person
    key: id
    columns: {id: long, monday: interval, other: "decimal(9,2)"}
    targets:
      - entity: resource
        fields:
          work_hours:
            elements:
              - {from: monday, duration: interval}
              - {sql: other * 2}
              - {sql: "0"}
"""
COLUMNS = {"id": "long", "monday": "interval", "other": "decimal(9,2)"}


def tried(row: dict[str, Any], text: str = TEXT) -> Tried:
    [people] = load_system(text, {}, {}).mappings
    return tried_row(people, None, {"id": 1} | row, COLUMNS)


def test_each_rule_gives_an_element_in_their_order() -> None:
    made = tried({"monday": "07:42:00", "other": Decimal("1.50")})
    assert made.refused is None
    assert made.records["resource"]["work_hours"] == [
        Decimal("7.70"),
        Decimal("3.00"),
        Decimal("0.00"),
    ]


def test_a_list_with_a_hole_is_refused() -> None:
    made = tried({"monday": "07:42:00", "other": None})
    assert made.refused == "monday, the expressions have no value of resource.work_hours"


def test_a_list_of_nothing_is_null() -> None:
    only = TEXT.replace('              - {sql: other * 2}\n              - {sql: "0"}\n', "")
    made = tried({"monday": None}, only)
    assert made.refused is None
    assert made.records["resource"]["work_hours"] is None


def test_an_element_that_fails_refuses_its_row() -> None:
    made = tried({"monday": "P0Y1M0DT0H0M0S", "other": 1})
    assert made.refused == "monday is no interval"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("work_hours:", "name:", "elements do not become String"),
        ("{sql: other * 2}", "{from: othre}", "unknown source column othre"),
        ("{sql: other * 2}", "{sql: othre}", "unknown source column othre"),
        ("{sql: other * 2}", "{from: monday}", "Duration"),
        ("            elements:", "            text: trim\n            elements:", "one function"),
    ],
)
def test_elements_that_are_none_are_told_with_their_line(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_system(TEXT.replace(old, new), {}, {})
    [problem] = refused.value.problems
    assert told in problem and "line " in problem
