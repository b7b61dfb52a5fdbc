"""Keys of several columns: the ids of their rows, and lookups that begin at them."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psastream.system import tried_row
from schemas.errors import ConfigError
from schemas.identity import IdForm
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.loader import load_system
from schemas.mapping.rules import row_ids

TEXT = """
system: firm
capture: debezium
objects:
  rates:
    kind: rate
    key: [person_id, activity]
    columns: {person_id: int, activity: text, bill: "decimal(9,2)"}
  weeks:
    kind: week
    key: [person_id, monday]
    columns: {person_id: int, monday: date, activity: text, minutes: long}
    lookups:
      rate: {object: rates, by: [person_id, activity], columns: [bill]}
    targets:
      - entity: time_entry
        fields:
          seconds: {from: minutes, duration: minutes}
          bill_rate: {from: rate.bill}
"""


def mappings(text: str = TEXT) -> dict[str, ObjectMapping]:
    return {each.topic.rpartition(".")[2]: each for each in load_system(text, {}, {}).mappings}


def problems(old: str, new: str) -> list[str]:
    assert old in TEXT
    with pytest.raises(ConfigError) as refused:
        load_system(TEXT.replace(old, new), {}, {})
    return list(refused.value.problems)


def test_the_parts_of_a_key_are_the_parts_of_an_id() -> None:
    row = {"person_id": 7, "monday": "2026-03-02", "activity": "build, paint", "minutes": 30}
    columns = {"person_id": "int", "monday": "date", "activity": "text", "minutes": "long"}
    weeks = mappings()["weeks"]
    made = tried_row(weeks, None, row | {"rate": {"bill": 80}}, columns)
    assert made.refused is None
    assert made.id == "firm:week:7,2026-03-02"
    assert made.records["time_entry"]["bill_rate"] == 80
    waits = tried_row(weeks, None, row, columns)
    assert waits.waits == "rate is not given, of firm:rate:7,build%2C paint"


def test_a_row_without_a_part_of_its_key_is_refused() -> None:
    made = tried_row(mappings()["weeks"], None, {"person_id": 1, "monday": None, "minutes": 1})
    assert made.refused == "key column person_id, monday is null"


def test_a_deletion_says_all_of_the_key() -> None:
    reader: Any = json.loads(mappings()["weeks"].reader.text)
    [before] = [each["type"][1] for each in reader["fields"] if each["name"] == "before"]
    assert [each["name"] for each in before["fields"]] == ["person_id", "monday"]


texts = st.text(st.sampled_from("a,%|#2C5"), min_size=1, max_size=4)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_two_keys_are_two_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    rows = pl.DataFrame([one, other], schema=["a", "b"], orient="row")
    keys = [(pl.col(name), pl.String()) for name in ("a", "b")]
    first, second = rows.select(row_ids("firm:pair", keys, IdForm.PLAIN)).to_series()
    assert (first == second) is (one == other)
    assert not {"|", "#"} & {*first}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("key: [person_id, monday]", "key: [person_id, tuesday]", "unknown source column tuesday"),
        ("monday: date", "monday: boolean", "person_id, monday: an id cannot be Boolean"),
        ("key: [person_id, monday]", "key: []", "at least 1 item"),
        ("by: [person_id, activity]", "by: person_id", "the key of rates is person_id, activity"),
        ("by: [person_id, activity]", "by: [person_id, kind]", "unknown column kind"),
        (
            "by: [person_id, activity]",
            "reverse: person_id",
            "the key of this object has several columns, and no column names it",
        ),
        (
            "by: [person_id, activity]",
            "by: person_id, closure: person_id",
            "the key of rates has several columns, and no column names it",
        ),
    ],
)
def test_what_cannot_be_a_key_is_told(old: str, new: str, told: str) -> None:
    problem = problems(old, new)[0]
    assert told in problem and "line " in problem
