from typing import Any

import polars as pl
import pytest

from schemas.position import (
    INVALID,
    Position,
    binlog_source,
    change_table_source,
    position_column,
    position_of,
    snapshot_reads,
    table_reads,
    to_sequences,
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


def placed(made: Any, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Source blocks of another database, as they are read."""
    frame = pl.DataFrame({"source": sources}).select(made(pl.col("source")))
    return [{**row["source"]} for row in frame.to_dicts()]


def binlog(file: str | None, pos: int, row: int = 0, snapshot: str = "false") -> dict[str, Any]:
    return {"ts_ms": 1, "file": file, "pos": pos, "row": row, "snapshot": snapshot}


def test_places_of_a_binary_log_count_its_files_its_bytes_and_the_rows_of_an_event() -> None:
    ordered = [
        binlog("mysql-bin.000003", 484),
        binlog("mysql-bin.000003", 484, 1),
        binlog("mysql-bin.000003", 805),
        binlog("mysql-bin.000003", 2**32 - 1, 2**11 - 1),
        binlog("mysql-bin.000004", 4),
        binlog("mysql-bin.1048575", 2**32 - 1, 2**11 - 1),
    ]
    found = [each["lsn"] for each in placed(binlog_source, ordered)]

    assert found == sorted(set(found))
    assert found[0] == 3 << 43 | 484 << 11
    assert found[-1] == 2**63 - 1
    assert [each["sequence"] for each in placed(binlog_source, ordered[:1])] == [
        f'["{found[0]}","{found[0]}"]'
    ]


@pytest.mark.parametrize(
    "source",
    [
        binlog(None, 4),
        binlog("mysql-bin", 4),
        binlog("mysql-bin.1048576", 4),
        binlog("mysql-bin.000001", 2**32),
        binlog("mysql-bin.000001", -1),
        binlog("mysql-bin.000001", 4, 2**11),
    ],
)
def test_a_place_of_a_binary_log_that_cannot_be_counted_is_none(source: dict[str, Any]) -> None:
    [found] = placed(binlog_source, [source, binlog("b.000001", 4)])[:1]
    assert (found["lsn"], found["sequence"]) == (INVALID.value, None)


def test_an_incremental_read_of_another_database_bears_no_place() -> None:
    read = binlog("mysql-bin.000003", 484, snapshot="incremental")
    assert placed(binlog_source, [read])[0]["lsn"] is None


def change(change_lsn: str | None, commit_lsn: str, serial: int | None = 1) -> dict[str, Any]:
    marker = "true" if change_lsn is None else "false"
    return {"ts_ms": 1, "change_lsn": change_lsn, "commit_lsn": commit_lsn,
            "event_serial_no": serial, "snapshot": marker}  # fmt: skip


def test_places_of_change_tables_are_those_of_the_changes() -> None:
    """Of Debezium's documentation: created, updated, deleted, and a key that was changed."""
    ordered = [
        change("00000027:00000758:0003", "00000027:00000758:0005"),
        change("00000027:00000ac0:0002", "00000027:00000ac0:0007", 2),
        change("00000027:00000db0:0005", "00000027:00000db0:0007"),
        change("00000027:00000db0:0005", "00000027:00000db0:0007", 2),
        change(None, "00000195:000010a0:0003", None),
        change("01ffffff:00ffffff:0fff", "01ffffff:00ffffff:0fff", 3),
    ]
    read = placed(change_table_source, ordered)
    found = [each["lsn"] for each in read]

    assert found == sorted(set(found))
    assert found[0] == 0x27 << 38 | 0x758 << 14 | 3 << 2 | 1
    assert found[-1] == 2**63 - 1
    assert read[1]["sequence"].startswith(f'["{0x27 << 38 | 0xAC0 << 14 | 7 << 2}",')


@pytest.mark.parametrize(
    "lsn", ["02000000:00000000:0001", "00000001:01000000:0001", "00000001:00000001:1000", "7", ""]
)
def test_a_place_of_a_change_table_that_cannot_be_counted_is_none(lsn: str) -> None:
    [found] = placed(change_table_source, [change(lsn, "00000027:00000758:0005")])
    assert found["lsn"] == INVALID.value
    [found] = placed(change_table_source, [change("00000027:00000758:0005", lsn)])
    assert found["sequence"] is None


@pytest.mark.parametrize("positions", [[], [0], [2**63 - 1, 7, 7]])
def test_sequences_of_many_are_those_of_each(positions: list[int]) -> None:
    assert to_sequences(positions) == [Position(each).to_sequence() for each in positions]


@pytest.mark.parametrize("position", [-1, -2, 2**63])
def test_what_is_no_position_has_no_sequence_among_many(position: int) -> None:
    with pytest.raises(ValueError, match="position"):
        to_sequences([7, position, 8])
