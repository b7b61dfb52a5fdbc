"""Where in its source a change happened, as one comparable integer.

A PostgreSQL change has a log sequence number; of a MySQL change it is made from file, place and row
in the binary log, of one of SQL Server from the log sequence number of the change. A polled source
numbers its changes itself and carries the number in `source.sequence`. Positions of one source
compare; of two sources never.
A stale position is one at or below the last applied. Upholds I3.

A row read by a snapshot of a database, initial or incremental, is the exception: its position is
that of the snapshot, not of the row's last change. A transaction that wrote the row before that
position and committed after it is not in the snapshot but streamed, with the lower position of its
write; so such a read may not hold its position against streamed changes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

_INT64_MAX: Final = 2**63 - 1
_SNAPSHOT: Final = ("true", "first", "first_in_data_collection", "last_in_data_collection", "last")
_INCREMENTAL: Final = "incremental"
_STREAMED: Final = "false"
_SEQUENCE: Final = re.compile(r'^\["([0-9]+)"\]$')


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A position in one source; INVALID is below every valid one."""

    value: int

    def __post_init__(self) -> None:
        if not -1 <= self.value <= _INT64_MAX:
            raise ValueError(f"a position is -1 (invalid) or a non-negative int64: {self.value}")

    @property
    def is_valid(self) -> bool:
        """Whether the source told a position."""
        return self.value >= 0

    def to_sequence(self) -> str:
        """The text of `source.sequence` for this position, which must be valid."""
        if not self.is_valid:
            raise ValueError("an invalid position has no sequence")
        return json.dumps([str(self.value)])


INVALID: Final = Position(-1)


def to_sequences(positions: Sequence[int]) -> list[str]:
    """As `Position.to_sequence` of each, which must be valid."""
    for extreme in {min(positions, default=0), max(positions, default=0)}:
        Position(extreme).to_sequence()
    return [f'["{position}"]' for position in positions]


def position_of(source: Mapping[str, object]) -> Position:
    """The position in the `source` block of an envelope: its lsn, else its own sequence."""
    lsn = source.get("lsn")
    if isinstance(lsn, int):
        return Position(lsn) if 0 <= lsn <= _INT64_MAX else INVALID
    match = _SEQUENCE.match(str(source.get("sequence")))
    value = int(match.group(1)) if match else -1
    return Position(value) if value <= _INT64_MAX else INVALID


def position_column(source: pl.Expr, *, has_lsn: bool) -> pl.Expr:
    """As position_of for a column of `source` structs: Int64, -1 where there is none.

    `has_lsn`: whether the struct has the field, as those of PostgreSQL do.
    """
    # Debezium's sequence holds two numbers, for it the lsn counts; ours holds exactly one.
    sequence = _sequence(source.struct.field("sequence"))
    if not has_lsn:
        return sequence.fill_null(INVALID.value)

    def positions(sources: pl.Series) -> pl.Series:
        lsn = pl.col("lsn")
        valid = pl.when(lsn >= 0).then(lsn).otherwise(INVALID.value)
        frame = sources.struct.unnest()
        if frame["lsn"].null_count():
            sequence = _sequence(pl.col("sequence"))
            valid = pl.when(lsn.is_null()).then(sequence).otherwise(valid)
        return frame.select(valid.fill_null(INVALID.value)).to_series().alias(sources.name)

    return source.map_batches(positions, return_dtype=pl.Int64, is_elementwise=True)


def _sequence(text: pl.Expr) -> pl.Expr:
    return text.str.extract(_SEQUENCE.pattern, 1).cast(pl.Int64, strict=False)


def snapshot_reads(sources: pl.Series) -> pl.Series:
    """Whether each `source` struct is of a row that a snapshot of a whole database read.

    Never for a polled source, which tells no lsn: it numbers what it reads like any change. Nor
    for an incremental snapshot: that does not stand at the end of the log.
    """
    return _is_marked(sources, _SNAPSHOT)


def table_reads(sources: pl.Series) -> pl.Series:
    """Whether each `source` struct is of a row that any snapshot of a database read.

    An incremental one too: Debezium puts its reads in order with the streamed changes, but they
    bear no position, or that of the last change streamed before them, whatever row that was of.
    """
    return _is_marked(sources, (*_SNAPSHOT, _INCREMENTAL))


def unplaced_read(source: pl.Expr) -> pl.Expr:
    """Whether a `source` struct of Debezium's is of an incremental snapshot, and tells no lsn.

    Debezium 3.3 leaves it out. Such a read needs none: it comes in order with the streamed changes
    of its row.
    """
    is_incremental = source.struct.field("snapshot") == _INCREMENTAL
    return (is_incremental & source.struct.field("lsn").is_null()).fill_null(False)


def _is_marked(sources: pl.Series, markers: tuple[str, ...]) -> pl.Series:
    frame = sources.struct.unnest()
    if "lsn" not in frame.columns:
        return pl.repeat(False, len(sources), dtype=pl.Boolean, eager=True)
    told = frame["snapshot"]
    if not told.null_count() and (told == _STREAMED).all():  # as a rule
        return told != _STREAMED
    return frame.select(pl.col("snapshot").is_in(markers).fill_null(value=False)).to_series()


_FILE: Final = r"\.([0-9]{1,9})$"
_FILES, _PLACES, _ROWS = 2**20, 2**32, 2**11
"""Of a binary log: files, as their names count them; bytes of one, which events count in 32 bits;
rows of one event, which hold some kilobytes."""
_LSN: Final = r"^([0-9a-fA-F]{8}):([0-9a-fA-F]{8}):([0-9a-fA-F]{4})$"
_PARTS, _BLOCKS, _SLOTS, _SERIALS = 2**25, 2**24, 2**12, 2**2
"""Of SQL Server's log: its parts, as they are counted; blocks of 512 bytes in one; records in a
block, which is at most 60 KB long; and changes of one number: before and after, or two keys."""


def binlog_source(source: pl.Expr) -> pl.Expr:
    """A `source` struct of MySQL's, as PostgreSQL's would tell it.

    A transaction is written as a whole when it commits, so that a change is its own commit.
    https://debezium.io/documentation/reference/3.3/connectors/mysql.html#mysql-create-events
    """
    field = source.struct.field
    file = field("file").str.extract(_FILE).cast(pl.Int64, strict=False)
    lsn = _packed((file, _FILES), (field("pos"), _PLACES), (field("row"), _ROWS))
    return _as_postgresql(source, lsn, lsn)


def change_table_source(source: pl.Expr) -> pl.Expr:
    """A `source` struct of SQL Server's, as PostgreSQL's would tell it.

    A read of a snapshot tells the last commit before it, and no change.
    https://debezium.io/documentation/reference/3.3/connectors/sqlserver.html#sqlserver-update-events
    """
    field = source.struct.field

    def packed(text: pl.Expr, serial: pl.Expr) -> pl.Expr:
        part, block, slot = (
            text.str.extract(_LSN, group).str.to_integer(base=16, dtype=pl.Int64, strict=False)
            for group in (1, 2, 3)
        )
        return _packed((part, _PARTS), (block, _BLOCKS), (slot, _SLOTS), (serial, _SERIALS))

    commit = packed(field("commit_lsn"), pl.lit(0))
    change = packed(field("change_lsn"), field("event_serial_no"))
    is_read = field("snapshot").is_in(_SNAPSHOT).fill_null(value=False)
    return _as_postgresql(source, pl.when(is_read).then(commit).otherwise(change), commit)


def _packed(*digits: tuple[pl.Expr, int]) -> pl.Expr:
    """One number of several digits, each below its limit; -1 where one is not, or is missing."""
    number: pl.Expr = pl.lit(0, dtype=pl.Int64)
    is_valid = pl.lit(value=True)
    for digit, limit in digits:
        is_valid &= digit.is_between(0, limit - 1)
        number = number * limit + digit.cast(pl.Int64)
    return pl.when(is_valid).then(number).otherwise(INVALID.value)


def _as_postgresql(source: pl.Expr, lsn: pl.Expr, commit: pl.Expr) -> pl.Expr:
    """A `source` struct with `lsn`, none for a read of an incremental snapshot, and `sequence`."""
    field = source.struct.field
    is_unplaced = (field("snapshot") == _INCREMENTAL).fill_null(value=False)
    told = pl.when(~is_unplaced).then(lsn)
    sequence = pl.concat_str(pl.lit('["'), commit, pl.lit('","'), told, pl.lit('"]'))
    is_told = (told >= 0) & (commit >= 0)
    return pl.struct(
        field("ts_ms"),
        pl.when(is_told).then(sequence).alias("sequence"),
        told.alias("lsn"),
        field("snapshot"),
    ).alias("source")
