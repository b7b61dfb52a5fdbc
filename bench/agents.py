"""Work A on psastream's engine: row state with retraction, project margin, weekly utilization.

Two agents, as the product has them: the first is keyed by project and hands what it knows of
people to the second through an internal topic, as one partial a person, week and source partition.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.agents_small import (
    SMALL,
    SMALL_TOTALS,
    Amounts,
    Folded,
    RecordFold,
    Sums,
    without_decimals,
    written,
)
from bench.canonical import RECORD
from schemas.codec.columnar import ChunkDecoder, ChunkEncoder
from schemas.codec.framing import header
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.contracts import record_schema
from streams.engine import Accounting, AgentSpec, Chunk, Effects, GroupSpec, OutputBatch, State

COLUMNS: Final = (
    "project_ref",
    "resource_id",
    "work_on",
    "hours",
    "bill_rate",
    "cost_rate",
    "currency",
    "status",
    "is_billable",
)


def unscaled(column: str) -> pl.Expr:
    """Return a decimal column as its unscaled 64-bit integer."""
    return pl.col(column).to_physical().cast(pl.Int64)


def row_schema() -> AvroSchema:
    """Return the schema of a kept row: the used fields of a time entry."""
    schema = json.loads(record_schema(RECORD).text)
    schema["fields"] = [field for field in schema["fields"] if field["name"] in COLUMNS]
    return load_schema(json.dumps(schema))


def contributions(rows: pl.DataFrame) -> pl.DataFrame:
    """Return keys and quantities of approved rows: hundredths of hours, millionths of money."""
    day = pl.col("work_on").dt
    week = pl.format("{}-W{}", day.iso_year(), day.week().cast(pl.String).str.zfill(2))
    return rows.filter(pl.col("status") == "approved").select(
        "project_ref",
        "resource_id",
        "currency",
        "sign",
        day.strftime("%Y-%m").alias("period"),
        week.alias("iso_week"),
        (unscaled("hours") * pl.col("sign")).alias("hours"),
        (unscaled("hours") * pl.col("sign") * pl.col("is_billable")).alias("billable_hours"),
        (unscaled("hours") * unscaled("bill_rate") * pl.col("sign") * pl.col("is_billable")).alias(
            "revenue"
        ),
        (unscaled("hours") * unscaled("cost_rate") * pl.col("sign")).alias("cost"),
    )


class ColumnFold:
    """Folds many records at once: columns of the full schema against those of kept rows."""

    def __init__(self) -> None:
        self._new = ChunkDecoder(record_schema(RECORD), columns=COLUMNS)
        self._encoder = ChunkEncoder(row_schema())
        self._old = ChunkDecoder(row_schema())

    def __call__(self, new: Sequence[bytes], old: Sequence[bytes]) -> Folded:
        """Return what new framed values and the kept rows they replace come to."""
        rows = self._new.decode(new)
        kept = self._encoder.encode(rows)
        rows = pl.concat([rows, self._old.decode(old, prefix=0)])
        signs = pl.Series("sign", np.repeat([1, -1], [len(new), len(old)]))
        moved = contributions(rows.with_columns(signs))
        return Folded(
            kept,
            _sums(moved, ("project_ref", "period", "currency"), ("hours", "revenue", "cost")),
            _sums(moved, ("resource_id", "iso_week"), ("billable_hours", "hours")),
        )


def _sums(moved: pl.DataFrame, key: Sequence[str], amounts: Sequence[str]) -> Sums:
    sums = moved.group_by(key).agg(pl.col(amounts).sum()).sort(key[0])
    names = sums.select(pl.concat_str(key, separator="|")).to_series()
    return Sums([name.encode() for name in names], sums.select(amounts).to_numpy())


def stored_amounts(state: State, keys: Sequence[bytes], width: int) -> Amounts:
    """Return totals as they are kept, a row a key: 64-bit integers, zero if there is none."""
    nothing = bytes(8 * width)
    values = [value or nothing for value in state.get_many(keys)]
    return np.frombuffer(b"".join(values), np.int64).reshape(-1, width)


def packed(amounts: Amounts) -> list[bytes | None]:
    """Return each row as bytes; a row of zeros as None, which deletes."""
    size = amounts.shape[1] * 8
    data = np.ascontiguousarray(amounts).tobytes()
    return [
        data[at : at + size] if keep else None
        for at, keep in zip(range(0, len(data), size), amounts.any(axis=1).tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Published:
    """Where totals go, as Avro decimals of these scales."""

    topic: str
    encoder: ChunkEncoder
    codec: RecordCodec
    prefix: bytes
    scales: dict[str, int]

    def batch(self, partitions: Sequence[int], keys: list[bytes], amounts: Amounts) -> OutputBatch:
        """Return one record a key; a total of nothing is a tombstone."""
        is_some = amounts.any(axis=1)
        if len(keys) <= SMALL_TOTALS:
            return OutputBatch(self.topic, partitions, keys, self._records(amounts, is_some))
        frame = pl.DataFrame(
            {
                name: pl.Series(amounts[is_some, at]).cast(pl.Decimal(38, 0))
                for at, name in enumerate(self.scales)
            }
        )
        encoded = iter(self.encoder.encode(self._scaled(frame), prefix=self.prefix))
        values = [next(encoded) if some else None for some in is_some.tolist()]
        return OutputBatch(self.topic, partitions, keys, values)

    def _records(self, amounts: Amounts, is_some: npt.NDArray[np.bool_]) -> list[bytes | None]:
        return [
            self.prefix + self.codec.encode(dict(zip(self.scales, map(written, row), strict=True)))
            if some
            else None
            for some, row in zip(is_some.tolist(), amounts.tolist(), strict=True)
        ]

    def _scaled(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            (pl.col(name) * pl.lit(f"0.{'1':0>{scale}}").cast(pl.Decimal(38, scale))).cast(
                pl.Decimal(18 if scale == 2 else 38, scale)
            )
            for name, scale in self.scales.items()
        )


class FoldRows:
    """Time entries to margins, and to partials of utilization."""

    def __init__(self, margins: Published, partials_topic: str, partitions: int) -> None:
        self._margins = margins
        self._partials_topic = partials_topic
        self._partitions = partitions
        self._by_record = RecordFold(record_schema(RECORD), row_schema())
        self._by_column = ColumnFold()

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Replace rows, move their contributions, publish the totals that changed."""
        last = dict(zip(chunk.keys, chunk.values, strict=True))
        # RocksDB reads and writes neighbours much faster than keys in no order.
        latest = {b"t" + key: last[key] for key in sorted(filter(None, last))}
        old = [value for value in state.get_many(list(latest)) if value is not None]
        new = [value for value in latest.values() if value is not None]
        fold = self._by_record if len(new) + len(old) <= SMALL else self._by_column
        folded = fold(new, old)
        kept = iter(folded.kept)
        effects = Effects(state={key: value and next(kept) for key, value in latest.items()})
        self._add_margins(chunk, state, folded.margins, effects)
        self._add_partials(chunk, state, folded.partials, effects)
        effects.accounting = Accounting(applied=len(chunk))
        return effects

    def _add_margins(self, chunk: Chunk, state: State, moved: Sums, effects: Effects) -> None:
        kept = [b"m" + key for key in moved.keys]
        totals = stored_amounts(state, kept, 3) + moved.amounts
        effects.state.update(zip(kept, packed(totals), strict=True))
        partitions = [chunk.partition] * len(kept)
        effects.outputs.append(self._margins.batch(partitions, moved.keys, totals))

    def _add_partials(self, chunk: Chunk, state: State, moved: Sums, effects: Effects) -> None:
        kept = [b"u" + key for key in moved.keys]
        values = packed(stored_amounts(state, kept, 2) + moved.amounts)
        effects.state.update(zip(kept, values, strict=True))
        source = b"|%d" % chunk.partition
        partitions = [crc32(key) % self._partitions for key in moved.keys]
        named = [key + source for key in moved.keys]
        effects.outputs.append(OutputBatch(self._partials_topic, partitions, named, values))


class FoldPartials:
    """Partials of a person's week to its utilization; a partial replaces its predecessor.

    State: by person and week, the partial of each source partition side by side.
    """

    def __init__(self, utilizations: Published, partitions: int) -> None:
        self._utilizations = utilizations
        self._partitions = partitions

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Replace partials and publish the sums that changed."""
        last = dict(zip(chunk.keys, chunk.values, strict=True))
        named = [(key or b"").rpartition(b"|") for key in last]
        at_of = {name: at for at, name in enumerate(sorted({name for name, _, _ in named}))}
        keys = list(at_of)
        partials = stored_amounts(state, keys, 2 * self._partitions)
        partials = partials.reshape(-1, self._partitions, 2).copy()
        nothing = bytes(16)
        new = np.frombuffer(b"".join([value or nothing for value in last.values()]), np.int64)
        rows = np.array([at_of[name] for name, _, _ in named])
        sources = np.array([int(source) for _, _, source in named])
        partials[rows, sources] = new.reshape(-1, 2)
        kept = packed(partials.reshape(len(keys), -1))
        batch = self._utilizations.batch([chunk.partition] * len(keys), keys, partials.sum(axis=1))
        return Effects(dict(zip(keys, kept, strict=True)), [batch], Accounting(applied=len(chunk)))


def groups(
    source: str,
    margins: Published,
    utilizations: Published,
    partitions: int,
    app_id: str,
) -> list[GroupSpec]:
    """Return both agent groups; `<app_id>-partials`, `-rows-state`, `-weeks-state` must exist."""
    partials = f"{app_id}-partials"
    rows = FoldRows(margins, partials, partitions)
    return [
        GroupSpec(
            "rows",
            partitions,
            (AgentSpec(source, rows),),
            f"{app_id}-rows-state",
            (margins.topic, partials),
        ),
        GroupSpec(
            "weeks",
            partitions,
            (AgentSpec(partials, FoldPartials(utilizations, partitions)),),
            f"{app_id}-weeks-state",
            (utilizations.topic,),
        ),
    ]


def published(topic: str, schema_text: str, schema_id: int, scales: dict[str, int]) -> Published:
    """Return a publisher of totals in a registered schema."""
    schema = load_schema(schema_text)
    codec = RecordCodec(without_decimals(schema))
    return Published(topic, ChunkEncoder(schema), codec, header(schema_id), scales)
