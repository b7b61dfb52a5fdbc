"""Normalize: change events of one source topic to canonical records.

A handler decodes a chunk, maps it by columns, drops what is stale, and publishes the last change
of each row to where its co-partition key sends it; a row that moved is deleted at its old place
in the same transaction. It knows no vendor: what a row means is in the mapping.

A database tells that a table was truncated by one event on one partition, while the rows lie on
all of them. So the event is handed on to the others, and each deletes the rows it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import polars as pl
import structlog

from schemas.columnar import ChunkEncoder, ChunkReader, DecodedChunk
from schemas.contracts import record_schema
from schemas.envelope import UNAVAILABLE, Operation
from schemas.framing import header
from schemas.keys import encode_keys
from schemas.mapping import MappedRows, ObjectMapping, Rejection, TargetMapping
from schemas.position import snapshot_reads
from schemas.routing import partition_of
from schemas.topics import BY_NAME, Route
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.normalize_state import (
    NOWHERE,
    Partitions,
    Positions,
    RowMemory,
    RowMemoryCodec,
)
from streams.agents.registry import SchemaSource, SubjectIds
from streams.agents.source_log import SourceLog, log_key
from streams.engine import Accounting, Chunk, ChunkHandler, Effects, Output, OutputBatch, State

AGENT: Final = "normalize"
HANDED_ON: Final = b"truncated"
"""Key of the copies of a truncation: Debezium's own event has none."""
TIMELINE_CHANGED: Final = "timeline_changed"
TRUNCATED: Final = "truncated"

_log = structlog.get_logger()


def make_normalizer(mapping: ObjectMapping, registry: SchemaSource) -> ChunkHandler:
    """The handler of the chunks of `mapping.topic`. Nothing is looked up before the first chunk."""
    return _Normalizer(mapping, registry)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The decoded records of a chunk with their outcome, and the memory of their rows.

    `rows`: record (index in the chunk), id, position (to remember and publish), is_delete,
    rejection, row (index into `ids`), is_stale, is_accepted; parallel to the canonical frames.
    """

    rows: pl.DataFrame
    ids: list[str]
    values: list[bytes | None]
    memory: RowMemory


class _Normalizer:
    def __init__(self, mapping: ObjectMapping, registry: SchemaSource) -> None:
        self._mapping = mapping
        self._registry = registry
        self._memory = RowMemoryCodec(len(mapping.targets))
        self._kept = [
            (index, field)
            for index, target in enumerate(mapping.targets)
            for field in target.unset_kept
        ]
        self._writers = [_TargetWriter(target, registry) for target in mapping.targets]
        # Readers are not thread-safe; a partition is never handled by two threads at once.
        self._readers: dict[int, ChunkReader] = {}

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Upholds I3 (stale changes nothing), I5 (all accounted) and I12 (unset is not a value)."""
        decoded = self._decode(chunk)
        log = _Log.of(self._mapping, decoded, state)
        decoded = log.rows
        mapped = self._mapping.apply(decoded.frame)
        judged = self._judge(decoded, mapped, log, state)
        latest = (
            judged.rows.with_row_index("at")
            .filter("is_accepted")
            .unique("row", keep="last", maintain_order=True)
        )
        targets = self._restore_unset(judged, latest, mapped.targets)
        effects = self._effects(judged, latest, targets)
        if log.is_emptied:
            self._empty(log.after.emptied_at, judged, targets, state, effects)
            effects.outputs += _handed_on(chunk, log.truncations)
        if log.after != log.before:
            effects.state[log_key(self._mapping.topic)] = log.after.to_bytes()
        effects.notices = log.notices
        refusals = self._refusals(decoded, judged.rows)
        effects.outputs += dead_letters(chunk, refusals, agent=AGENT, ids=self._registry)
        effects.accounting = Accounting(
            applied=int(judged.rows["is_accepted"].sum()) + len(log.truncations),
            # A tombstone repeats the delete in front of it.
            stale=int(judged.rows["is_stale"].sum()) + len(decoded.tombstones),
            dead_lettered=len(refusals),
        )
        return effects

    def _decode(self, chunk: Chunk) -> DecodedChunk:
        reader = self._readers.get(chunk.partition)
        if reader is None:
            reader = ChunkReader(self._registry.schema, reader=self._mapping.reader)
            self._readers[chunk.partition] = reader
        return reader.decode(chunk.values)

    def _judge(self, decoded: DecodedChunk, mapped: MappedRows, log: _Log, state: State) -> _Judged:
        """Compare each change with the last one applied to its row, in the state or before it.

        A row that a database's snapshot read is newer than all that was applied at a position up
        to the snapshot's, and older than all that is streamed after it, however low the position:
        a transaction may write before the snapshot and commit after it. So it gets the position
        next to the last applied one. No change is streamed with that: positions in a log are as
        far apart as its records are long.
        """
        rows = mapped.rows.insert_column(0, pl.Series("record", decoded.rows, dtype=pl.Int64))
        rows = rows.with_columns(
            pl.Series("position", log.positions),
            snapshot_reads(decoded.frame["source"]).alias("is_read"),
        )
        unique = rows.select(pl.col("id").drop_nulls().unique(maintain_order=True))
        ids = unique["id"].to_list()
        values = state.get_many([row_id.encode() for row_id in ids])
        memory = self._memory.decode(values)
        known = unique.with_columns(
            pl.Series("row", np.arange(len(ids)), dtype=pl.Int64),
            pl.Series("last", memory.positions, dtype=pl.Int64),
        )
        rows = rows.join(known, on="id", how="left", maintain_order="left")
        emptied_at = pl.lit(log.after.emptied_at, dtype=pl.Int64)
        newest = pl.max_horizontal("last", _newest_before(rows), emptied_at)
        is_stale = (pl.col("position") >= 0) & (pl.col("position") <= newest).fill_null(False)
        after_newest = pl.max_horizontal(newest, 0) + 1
        rows = rows.with_columns(
            is_stale.alias("is_stale"),
            pl.when("is_read").then(after_newest).otherwise("position").alias("position"),
        )
        rows = rows.with_columns(
            (~pl.col("is_stale") & pl.col("rejection").is_null()).alias("is_accepted")
        )
        return _Judged(rows, ids, values, memory)

    def _restore_unset(
        self, judged: _Judged, latest: pl.DataFrame, targets: Sequence[pl.DataFrame]
    ) -> list[pl.DataFrame]:
        """The canonical frames of `latest`, at the positions they were judged to have.

        Where the source sent no value there is the kept one. Upholds I12.

        A value that was never seen stays null: it is not known, and the placeholder is no value.
        """
        settled = latest["position"].alias("source_position")
        chosen = [frame[latest["at"]].with_columns(settled) for frame in targets]
        for kept_index, (target, field) in enumerate(self._kept):
            is_unset = chosen[target][field] == UNAVAILABLE
            rows = set(latest["row"].filter(is_unset))
            if not rows:
                continue
            known = {row: self._kept_text(judged.values[row], kept_index) for row in rows}
            changes = judged.rows.select("row", "is_delete", "is_accepted").with_columns(
                targets[target][field].alias("text")
            )
            for row, is_delete, text in (
                changes.filter(pl.col("is_accepted") & pl.col("row").is_in(rows))
                .select("row", "is_delete", "text")
                .iter_rows()
            ):
                if is_delete or text != UNAVAILABLE:
                    known[row] = None if is_delete else text
            texts = [
                known[row] if text == UNAVAILABLE else text
                for row, text in zip(latest["row"], chosen[target][field], strict=True)
            ]
            restored = pl.Series(field, texts, dtype=pl.String)
            chosen[target] = chosen[target].with_columns(restored)
            _log.debug("unset_restored", topic=self._mapping.topic, field=field, rows=len(rows))
        return chosen

    def _kept_text(self, value: bytes | None, kept_index: int) -> str | None:
        return None if value is None else list(self._memory.kept_texts(value))[kept_index]

    def _effects(
        self, judged: _Judged, latest: pl.DataFrame, targets: Sequence[pl.DataFrame]
    ) -> Effects:
        rows = latest["row"].to_numpy()
        is_live = ~latest["is_delete"].to_numpy()
        ids = latest["id"].to_list()
        old = judged.memory.partitions[rows]
        new = np.full_like(old, NOWHERE)
        outputs: list[OutputBatch] = []
        for index, (writer, frame) in enumerate(zip(self._writers, targets, strict=True)):
            new[:, index] = np.where(is_live, writer.partitions(ids, frame), NOWHERE)
            outputs += writer.outputs(ids, frame, old[:, index], new[:, index])
        kept = [targets[index][field].to_list() for index, field in self._kept]
        memory = RowMemory(latest["position"].to_numpy(), new)
        values = self._memory.encode(memory, kept)
        state: dict[bytes, bytes | None] = {
            row_id.encode(): value for row_id, value in zip(ids, values, strict=True)
        }
        return Effects(state=state, outputs=[*outputs])

    def _empty(
        self,
        emptied_at: int,
        judged: _Judged,
        targets: Sequence[pl.DataFrame],
        state: State,
        effects: Effects,
    ) -> None:
        """Add the deletion of all rows whose last change lies before a truncation."""
        changed = set(effects.state)
        found = [
            (key, value)
            for key, value in state.scan(self._mapping.row_prefix.encode())
            if key not in changed
        ]
        memory = self._memory.decode([value for _, value in found])
        is_gone = (memory.positions < emptied_at) & (memory.partitions != NOWHERE).any(axis=1)
        gone = np.flatnonzero(is_gone)
        ids = [found[at][0].decode() for at in gone]
        old = memory.partitions[gone]
        new = np.full_like(old, NOWHERE)
        for index, (writer, frame) in enumerate(zip(self._writers, targets, strict=True)):
            effects.outputs += writer.outputs(ids, frame.clear(), old[:, index], new[:, index])
        positions = np.full(len(gone), emptied_at, np.int64)
        kept = [[None] * len(gone) for _ in self._kept]
        values = self._memory.encode(RowMemory(positions, new), kept)
        effects.state |= zip((row_id.encode() for row_id in ids), values, strict=True)

    def _refusals(self, decoded: DecodedChunk, rows: pl.DataFrame) -> list[Refusal]:
        """Undecodable and rejected records in chunk order; a stale one is no longer judged."""
        refusals = [
            Refusal(index, Rejection(error.code, error.detail, error.hint))
            for index, error in decoded.errors
        ]
        refused = rows.filter(~pl.col("is_stale") & pl.col("rejection").is_not_null())
        reasons = self._mapping.rejections
        refusals += [
            Refusal(record, reasons[rejection])
            for record, rejection in refused.select("record", "rejection").iter_rows()
        ]
        return sorted(refusals, key=lambda refusal: refusal.index)


@dataclass(frozen=True, slots=True)
class _Log:
    """What a chunk tells of its source as a whole.

    `rows` is the chunk without truncations, `positions` the positions of its rows, `truncations`
    the indexes in the chunk of those that are new.
    """

    before: SourceLog
    after: SourceLog
    rows: DecodedChunk
    positions: Positions
    truncations: Sequence[int]

    @classmethod
    def of(cls, mapping: ObjectMapping, decoded: DecodedChunk, state: State) -> Self:
        """Read it off a decoded chunk, given the log so far."""
        positions = decoded.frame.select(mapping.position)["position"].to_numpy()
        if not mapping.is_database:
            none = SourceLog()
            return cls(none, none, decoded, positions, ())
        before = SourceLog.from_bytes(state.get(log_key(mapping.topic)))
        after, positions = before.after(positions, decoded.frame["source"])
        is_truncation = (decoded.frame["op"] == Operation.TRUNCATE.value).fill_null(False)
        if not is_truncation.any():
            return cls(before, after, decoded, positions, ())
        at = np.flatnonzero(is_truncation.to_numpy())
        kept = np.flatnonzero(~is_truncation.to_numpy())
        after = replace(after, emptied_at=max(before.emptied_at, int(positions[at].max())))
        rows = replace(
            decoded, frame=decoded.frame[kept], rows=[decoded.rows[index] for index in kept]
        )
        return cls(before, after, rows, positions[kept], [decoded.rows[index] for index in at])

    @property
    def is_emptied(self) -> bool:
        """Whether a truncation is newer than all before."""
        return self.after.emptied_at > self.before.emptied_at

    @property
    def notices(self) -> tuple[str, ...]:
        """What somebody should hear of."""
        is_moved = self.after.shift != self.before.shift
        return (TIMELINE_CHANGED,) * is_moved + (TRUNCATED,) * self.is_emptied


def _handed_on(chunk: Chunk, truncations: Sequence[int]) -> list[Output]:
    """The truncations that Debezium wrote to this partition, for all other partitions."""
    others = [each for each in range(BY_NAME[chunk.topic].partitions) if each != chunk.partition]
    return [
        Output(chunk.topic, partition, HANDED_ON, chunk.values[at])
        for at in truncations
        if chunk.keys[at] is None
        for partition in others
    ]


def _newest_before(rows: pl.DataFrame) -> pl.Series:
    """The newest position of a sound change of the same row earlier in the chunk, or null.

    A snapshot's read is no change: it stands at the newest position, whatever its own.
    Windows over many groups are slow, and most rows change once: only the others go through one.
    """
    sound = pl.when(pl.col("rejection").is_null() & ~pl.col("is_read")).then("position")
    before = sound.shift(1).cum_max().forward_fill().over("row")
    repeated = (
        rows.with_row_index("at")
        .filter(pl.col("row").is_duplicated() & pl.col("row").is_not_null())
        .select("at", before.alias("before"))
    )
    newest = pl.repeat(None, rows.height, dtype=pl.Int64, eager=True)
    return newest.scatter(repeated["at"], repeated["before"])


class _TargetWriter:
    """Publishes the canonical records of one target."""

    def __init__(self, target: TargetMapping, ids: SubjectIds) -> None:
        assert target.topic.record is not None
        self._topic = target.topic
        self._ids = ids
        self._encoder = ChunkEncoder(record_schema(target.topic.record))

    def partitions(self, ids: list[str], frame: pl.DataFrame) -> Partitions:
        """Where each record belongs; 0 stands for everywhere if the topic is broadcast."""
        if self._topic.route is Route.BROADCAST:
            return np.zeros(len(ids), np.uint16)
        assert self._topic.route_field is not None
        routes = frame.select(
            pl.coalesce(self._topic.route_field, pl.Series(ids, dtype=pl.String)).alias("route")
        )["route"]
        unique = routes.unique()
        numbers = [partition_of(route, self._topic.partitions) for route in unique]
        return routes.replace_strict(unique, pl.Series(numbers, dtype=pl.UInt16)).to_numpy()

    def outputs(
        self, ids: list[str], frame: pl.DataFrame, old: Partitions, new: Partitions
    ) -> list[OutputBatch]:
        """Records where they belong now, and tombstones where they no longer do."""
        name = self._topic.name
        keys = encode_keys(self._ids.subject_id(f"{name}-key"), ids)
        prefix = header(self._ids.subject_id(f"{name}-value"))
        live = np.flatnonzero(new != NOWHERE)
        gone = np.flatnonzero((old != NOWHERE) & (old != new))
        values = self._encoder.encode(frame[live], prefix=prefix)
        upserts = self._batch(new[live], [keys[at] for at in live], values)
        tombstones = self._batch(old[gone], [keys[at] for at in gone], [None] * len(gone))
        return [batch for batch in (tombstones, upserts) if batch.keys]

    def _batch(
        self, partitions: Partitions, keys: list[bytes], values: Sequence[bytes | None]
    ) -> OutputBatch:
        if self._topic.route is not Route.BROADCAST:
            return OutputBatch(self._topic.name, partitions.tolist(), keys, values)
        copies = range(self._topic.partitions)
        return OutputBatch(
            self._topic.name,
            [partition for partition in copies for _ in keys],
            [key for _ in copies for key in keys],
            [value for _ in copies for value in values],
        )
