from typing import Any

import polars as pl
import pytest

from schemas.position import (
    INVALID,
    Position,
    position_column,
    position_of,
    snapshot_reads,
    table_reads,
)

# source block, position
CASES: list[tuple[dict[str, Any], int]] = [
    ({"lsn": 24023128, "sequence": '["24023000","24023128"]'}, 24023128),
    ({"lsn": 0, "sequence": None}, 0),
    ({"lsn": None, "sequence": '["17"]'}, 17),
    ({"lsn": None, "sequence": '["9223372036854775807"]'}, 2**63 - 1),
    ({"lsn": None, "sequence": '["9223372036854775808"]'}, -1),
    ({"lsn": None, "sequence": '["1","2"]'}, -1),
    ({"lsn": None, "sequence": "[17]"}, -1),
    ({"lsn": None, "sequence": '["-3"]'}, -1),
    ({"lsn": -5, "sequence": '["17"]'}, -1),
    ({"lsn": None, "sequence": None}, -1),
]


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_a_position_is_the_lsn_or_the_sources_own_number(
    source: dict[str, Any], expected: int
) -> None:
    assert position_of(source) == Position(expected)
    assert position_of(source).is_valid == (expected >= 0)


def test_columns_hold_the_same_positions() -> None:
    frame = pl.DataFrame(
        {"source": [source for source, _ in CASES]},
        schema={"source": pl.Struct({"lsn": pl.Int64, "sequence": pl.String})},
    )
    column = frame.select(position_column(pl.col("source"), has_lsn=True)).to_series()
    assert column.to_list() == [expected for _, expected in CASES]


def test_a_polled_source_has_no_lsn_field() -> None:
    frame = pl.DataFrame({"source": [{"sequence": '["5"]'}, {"sequence": None}]})
    column = frame.select(position_column(pl.col("source"), has_lsn=False)).to_series()
    assert column.to_list() == [5, INVALID.value]


def test_an_invalid_position_is_below_every_valid_one() -> None:
    assert INVALID < Position(0) < Position(1)


def test_a_position_survives_its_sequence() -> None:
    assert position_of({"sequence": Position(42).to_sequence()}) == Position(42)
    with pytest.raises(ValueError, match="no sequence"):
        INVALID.to_sequence()


@pytest.mark.parametrize("value", [-2, 2**63])
def test_a_position_is_an_int64(value: int) -> None:
    with pytest.raises(ValueError, match="int64"):
        Position(value)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("true", True),
        ("first", True),
        ("first_in_data_collection", True),
        ("last_in_data_collection", True),
        ("last", True),
        ("incremental", False),
        ("false", False),
        (None, False),
    ],
)
def test_a_read_of_the_initial_snapshot_is_told_by_its_marker(
    marker: str | None, expected: bool
) -> None:
    dtype = pl.Struct({"lsn": pl.Int64, "snapshot": pl.String})
    database = pl.Series([{"lsn": 5, "snapshot": marker}], dtype=dtype)
    assert snapshot_reads(database).to_list() == [expected]
    assert table_reads(database).to_list() == [expected or marker == "incremental"]


def test_a_polled_source_has_no_snapshot_whatever_its_marker() -> None:
    polled = pl.Series([{"sequence": '["5"]', "snapshot": "true"}] * 2)
    assert snapshot_reads(polled).to_list() == [False, False]
    assert table_reads(polled).to_list() == [False, False]
