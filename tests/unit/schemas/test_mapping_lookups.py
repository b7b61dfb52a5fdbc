"""`lookups` of a mapping.yaml: what is compiled of them, and where problems are told."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from schemas.errors import ConfigError
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.loader import load_system
from schemas.mapping.lookups import Lookup, Way, text_of

HEAD = """
system: ledger
capture: debezium
objects:
  headers:
    kind: header
    key: id
    columns: {id: long, code: text, project: text, total: "decimal(9,2)"}
  tasks:
    kind: task
    key: id
    columns: {id: text, parent: text, day: date, line_id: long}
  lines:
    kind: line
    key: id
    columns: {id: long, header_id: long, task: text, is_open: boolean, state: text}
"""
TARGET = "    targets: [{entity: expense, fields: {status: {from: state}}}]\n"


def lookups(*lines: str, rest: str = TARGET) -> str:
    body = "".join(f"      {line}\n" for line in lines)
    return f"{HEAD}    lookups:\n{body}{rest}"


def mappings(text: str) -> dict[str, ObjectMapping]:
    return {each.topic.rpartition(".")[2]: each for each in load_system(text, {}, {}).mappings}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "h: {object: header, by: header_id, columns: [code]}",
            "line 18: lines: lookup h: there is no object header; did you mean headers?",
        ),
        (
            "h: {object: headers, by: headerid, columns: [code]}",
            "line 18: lines: lookup h: unknown column headerid; did you mean header_id?",
        ),
        (
            "h: {object: headers, by: header_id, columns: [cod]}",
            "line 18: lines: lookup h: unknown column cod; did you mean code?",
        ),
        (
            "h: {object: tasks, by: task, closure: parents, columns: [day]}",
            "line 18: lines: lookup h: unknown column parents; did you mean parent?",
        ),
        (
            "h: {object: tasks, reverse: lineid, columns: [day]}",
            "line 18: lines: lookup h: unknown column lineid; did you mean line_id?",
        ),
        (
            "h: {object: tasks, reverse: day, columns: [day]}",
            "line 18: lines: lookup h: an id cannot be Date",
        ),
        (
            "h: {object: tasks, by: task, closure: day, columns: [day]}",
            "line 18: lines: lookup h: an id cannot be Date",
        ),
        (
            "h: {object: headers, by: is_open, columns: [code]}",
            "line 18: lines: lookup h: an id cannot be Boolean",
        ),
        (
            "state: {object: headers, by: header_id, columns: [code]}",
            "line 18: lines: lookup state: state is a name already",
        ),
    ],
)
def test_a_lookup_that_is_none_is_told_by_line(line: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_system(lookups(line), {}, {})
    assert list(refused.value.problems) == [f"mapping.yaml: {problem}"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("h: {object: headers, columns: [code]}", "one of both"),
        ("h: {object: tasks, by: task, reverse: line_id, columns: [day]}", "one of both"),
        ("h: {object: tasks, reverse: line_id, closure: parent, columns: [day]}", "goes with `by`"),
        ("h: {object: headers, by: header_id, columns: []}", "at least 1 item"),
        ("h: {object: headers, by: header_id, columns: [code], optional: maybe}", "boolean"),
        ("h: {object: headers, by: header_id, columns: [code], where: x}", "Extra inputs"),
        ("1h: {object: headers, by: header_id, columns: [code]}", "should match pattern"),
    ],
)
def test_words_that_say_no_lookup_are_told_by_line(line: str, told: str) -> None:
    with pytest.raises(ConfigError, match="line 18") as refused:
        load_system(lookups(line), {}, {})
    assert told in refused.value.detail


def test_several_problems_are_told_at_once() -> None:
    wrong = (
        "a: {object: header, by: id, columns: [code]}",
        "b: {object: tasks, by: x, columns: [day]}",
    )
    with pytest.raises(ConfigError) as refused:
        load_system(lookups(*wrong), {}, {})
    assert [problem.partition(":")[2][:9] for problem in refused.value.problems] == [
        " line 18:",
        " line 19:",
    ]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{sql: h.cod}", "h has no field cod; did you mean code?"),
        ("{sql: g.code}", "unknown source column g"),
        ("{from: h.cod}", "unknown source column h.cod; did you mean h.code?"),
        ("{sql: h.total}", "does not become"),
    ],
)
def test_a_column_that_is_not_looked_up_is_told(rule: str, told: str) -> None:
    line = "h: {object: headers, by: header_id, columns: [code, total]}"
    rest = f"    targets: [{{entity: expense, fields: {{project_ref: {rule}}}}}]\n"
    with pytest.raises(ConfigError) as refused:
        load_system(lookups(line, rest=rest), {}, {})
    [problem] = refused.value.problems
    assert told in problem and "line 19" in problem


def test_a_var_does_not_bear_the_name_of_a_lookup() -> None:
    line = "h: {object: headers, by: header_id, columns: [code]}"
    with pytest.raises(ConfigError, match="h is a name already"):
        load_system(lookups(line, rest="    vars: {h: id + 1}\n" + TARGET), {}, {})


def test_lookups_without_targets_find_for_nobody() -> None:
    line = "h: {object: headers, by: header_id, columns: [code]}"
    with pytest.raises(ConfigError, match="line 17: lines: lookups of an object without targets"):
        load_system(lookups(line, rest=""), {}, {})


def test_kinds_of_objects_that_are_looked_up_are_theirs_alone() -> None:
    line = "h: {object: headers, by: header_id, columns: [code]}"
    text = lookups(line).replace("kind: header", "kind: line")
    with pytest.raises(ConfigError, match="lines: kind line is that of headers too"):
        load_system(text, {}, {})


def test_only_what_is_looked_up_is_read_and_shown() -> None:
    found = mappings(
        lookups(
            "h: {object: headers, by: header_id, columns: [code]}",
            "r: {object: tasks, by: task, closure: parent, columns: [day]}",
            "n: {object: tasks, reverse: line_id, columns: [day], optional: true}",
        )
    )
    assert [*found] == ["headers", "tasks", "lines"]
    headers, tasks, lines = found.values()
    assert (headers.targets, headers.lookups, lines.shown) == ((), (), ())
    assert [expr.meta.output_name() for expr in headers.shown] == ["code"]
    assert [expr.meta.output_name() for expr in tasks.shown] == [
        "day",
        "parent>task",
        "line_id>line",
    ]
    told = [(each.name, each.way, each.rows, each.reference) for each in lines.lookups]
    assert told == [
        ("h", Way.KEY, "ledger:header:", ""),
        ("r", Way.ROOT, "ledger:task:", "parent>task"),
        ("n", Way.REVERSE, "ledger:task:", "line_id>line"),
    ]
    assert [each.is_optional for each in lines.lookups] == [False, False, True]
    assert [
        (each.topic, each.lookups, each.unfit, each.shown)
        for each in mappings(HEAD + TARGET).values()
    ] == [("src.ledger.lines", (), None, ())]


def test_an_object_may_look_up_rows_of_its_own() -> None:
    text = HEAD.replace(
        "day: date, line_id: long}\n",
        "day: date, line_id: long}\n"
        "    lookups: {top: {object: tasks, by: parent, closure: parent, columns: [day]}}\n"
        "    targets: [{entity: task, fields: {project_ref: {from: id}}}]\n",
    )
    assert mappings(text)["tasks"].lookups[0].rows == "ledger:task:"


VALUES = [
    (pl.String(), ["", "a|b", None]),
    (pl.Int64(), [-(2**63), 7, None]),
    (pl.Int32(), [-(2**31), 0, None]),
    (pl.Boolean(), [True, False, None]),
    (pl.Date(), [date(1, 1, 1), date(2026, 2, 28), None]),
    (pl.Datetime("us", "UTC"), [datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), None]),
    (pl.Datetime("ms", "UTC"), [datetime(1, 1, 1, tzinfo=UTC), None]),
    (pl.Decimal(38, 4), [Decimal("12345678901234567890123456789012.3456"), Decimal("-0.5"), None]),
]


@pytest.mark.parametrize(("dtype", "values"), VALUES, ids=str)
def test_a_value_comes_through_its_text_as_it_was(dtype: pl.DataType, values: list[object]) -> None:
    texts = pl.DataFrame({"source.x": pl.Series(values, dtype=dtype)}).select(text_of("x", dtype))
    lookup = Lookup("h", Way.KEY, "ledger:header:", {"x": dtype}, pl.lit(None))
    found, is_unreadable = lookup.found([*texts.to_dicts()])
    assert found["source.h.x"].to_list() == values
    assert found["source.h.x"].dtype == dtype
    assert found["source.h"].struct.field("x").to_list() == values
    assert not is_unreadable.any()


def test_what_is_no_value_of_the_column_any_more_or_is_not_shown_is_unreadable() -> None:
    lookup = Lookup(
        "h", Way.KEY, "ledger:header:", {"x": pl.Int64(), "y": pl.String()}, pl.lit(None)
    )
    shown: list[dict[str, str | None]] = [
        {"x": "1", "y": "a"},
        {"x": "1.5", "y": "a"},
        {"x": "1"},
        {"x": None, "y": None},
        {},
    ]
    found, is_unreadable = lookup.found([*shown])
    assert is_unreadable.to_list() == [False, True, True, False, False]
    assert found["source.h.x"].to_list() == [1, None, 1, None, None]
