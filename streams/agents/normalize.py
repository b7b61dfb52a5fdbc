"""Normalize: change events of one source topic to canonical records.

A handler decodes a chunk, maps it by columns, drops what is stale, and publishes the last change
of each row to where its co-partition key sends it; a row that moved is deleted at its old place
in the same transaction, and one that has gone is shown as it last was. It knows no vendor: what a
row means is in the mapping.

A database tells that a table was truncated by one event on one partition, while the rows lie on
all of them. So the event is handed on to the others, and each deletes the rows it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import ne
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import structlog

from schemas.codec.columnar import ChunkEncoder, ChunkReader, DecodedChunk, frame_dtypes
from schemas.codec.framing import header
from schemas.contracts import record_schema
from schemas.envelope import UNAVAILABLE, Operation
from schemas.keys import KEY_SCHEMA, encode_keys
from schemas.mapping.compiled import MappedRows, ObjectMapping, Rejection, TargetMapping
from schemas.position import table_reads
from schemas.routing import partition_of
from schemas.topics import PARTITIONS, Route
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.lookups import PROJECTIONS, Search, stamp_of
from streams.agents.normalize_state import (
    NOWHERE,
    Partitions,
    Positions,
    RowMemory,
    RowMemoryCodec,
    packed,
)
from streams.agents.registry import SchemaSource, SubjectIds
from streams.agents.source_log import SourceLog, log_key
from streams.engine import Accounting, Chunk, Effects, Output, OutputBatch, State
from tables.lookups import LookupTable, Reason, Seeker, Wait

AGENT: Final = "normalize"
HANDED_ON: Final = b"truncated"
"""Key of the copies of a truncation: Debezium's own event has none."""
TIMELINE_CHANGED: Final = "timeline_changed"
TRUNCATED: Final = "truncated"

Chosen = npt.NDArray[np.intp]
"""Numbers of rows."""

_log = structlog.get_logger()


def make_normalizer(mapping: ObjectMapping, registry: SchemaSource) -> Normalizer:
    """The handler of the chunks of `mapping.topic`. No schema is asked for before the first."""
    return Normalizer(mapping, registry)


@dataclass(frozen=True, slots=True)
class _Seekers:
    """The rows of a chunk that look others up.

    `search` is parallel to the decoded records, `values` too: their change events. `before` and
    `floors` are parallel to the ids: what was kept of each row, and what its next versions exceed.
    """

    table: LookupTable
    search: Search
    values: Sequence[bytes | None]
    before: Sequence[Seeker]
    floors: Positions

    def is_ready(self) -> pl.Series:
        """Whether what a row looks up is there."""
        return pl.Series("is_ready", [wait is None for wait in self.search.waits], pl.Boolean)


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
    seekers: _Seekers | None = None

    def versions(self, chosen: pl.DataFrame, step: int) -> pl.Series:
        """What the records of some rows bear, so that readers take each for newer than the last.

        Their position, or where what they look up may change it, one that grows each time.
        """
        if self.seekers is None:
            return chosen["position"]
        floors = self.seekers.floors[chosen["row"].to_numpy()]
        newest = np.maximum(floors, chosen["position"].to_numpy())
        return pl.Series("position", newest + step, dtype=pl.Int64)


_PASSING: Final = 1
_LAST: Final = 2
"""Steps from the former version of a row to what a chunk shows of it: first what passes."""


class Normalizer:
    """A chunk handler. Thread-safe as long as no partition is handled by two threads at once."""

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
        self._moving = [at for at, writer in enumerate(self._writers) if writer.rows_move]
        self._shows: _TargetWriter | None = None
        if mapping.shown:
            self._shows = _TargetWriter(TargetMapping(PROJECTIONS, (), {}), registry)
        # Readers are not thread-safe; a partition is never handled by two threads at once.
        self._readers: dict[int, ChunkReader] = {}

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Upholds I3 (stale changes nothing), I5 (all accounted) and I12 (unset is not a value)."""
        decoded = self._decode(chunk)
        log = _Log.of(self._mapping, chunk, decoded, state)
        decoded = log.rows
        table = LookupTable(state)
        search = self._search(decoded.frame, table)
        mapped = self._mapping.apply(decoded.frame, None if search is None else search.columns)
        judged = self._judge(decoded, mapped, log, state)
        if search is not None:
            values = [chunk.values[record] for record in decoded.rows]
            search = search.with_unfit(mapped.rows["unfit"], self._mapping.rejections)
            judged = _sought(judged, search, table, values, stamp_of(chunk))
        latest = (
            judged.rows.with_row_index("at")
            .filter("is_accepted")
            .unique("row", keep="last", maintain_order=True)
        )
        targets = self._restore_unset(judged, latest, mapped.targets)
        effects = self._effects(judged, latest, targets)
        effects.outputs[:0] = self._passing(judged, latest, mapped)
        effects.outputs += self._showing(latest, mapped)
        self._keep(judged, latest)
        if log.is_emptied:
            older = self._empty(log.after.emptied_at, judged, targets, state, effects)
            effects.outputs += self._gone(older)
            self._forget(older, table)
            effects.outputs += _handed_on(chunk, log.truncations)
        # Last: a row that was emptied goes, whatever text came with a later refusal of its id.
        self._keep_refused_texts(judged, latest, mapped, effects)
        effects.state |= table.changes()
        if log.after != log.before:
            effects.state[log_key(self._mapping.topic)] = log.after.to_bytes()
        effects.notices = log.notices
        refusals = self._refusals(decoded, judged.rows)
        effects.outputs += dead_letters(chunk, refusals, agent=AGENT, ids=self._registry)
        waiting = 0 if search is None else int((~latest["is_ready"] & ~latest["is_delete"]).sum())
        effects.accounting = Accounting(
            applied=int(judged.rows["is_accepted"].sum()) + len(log.truncations) - waiting,
            parked=waiting,
            # A tombstone repeats the delete in front of it.
            stale=int(judged.rows["is_stale"].sum()) + len(decoded.tombstones),
            dead_lettered=len(refusals),
        )
        return effects

    def again(
        self, partition: int, row_ids: Sequence[str], state: State, table: LookupTable, stamp: int
    ) -> Effects:
        """Publish rows again, as their source last sent them, with what they find now.

        One that cannot be read any more stays as it was published, and waits.
        """
        kept = [
            (row_id, row)
            for row_id, row in zip(row_ids, table.seekers(row_ids), strict=True)
            if row.value is not None
        ]
        decoded = self._reader(partition).decode([row.value for _, row in kept])
        for index, error in decoded.errors:
            row_id, row = kept[index]
            wait = Wait("", Reason.UNREADABLE, error.detail)
            table.keep(row_id, row, replace(row, wait=wait))
        kept = [kept[index] for index in decoded.rows]
        ids = [row_id for row_id, _ in kept]
        search = self._search(decoded.frame, table)
        assert search is not None
        mapped = self._mapping.apply(decoded.frame, search.columns)
        values = state.get_many([row_id.encode() for row_id in ids])
        memory = self._memory.decode(values)
        rows = mapped.rows.with_columns(
            pl.Series("id", ids, dtype=pl.String),
            pl.Series("position", memory.positions, dtype=pl.Int64),
            pl.Series("row", np.arange(len(ids)), dtype=pl.Int64),
            pl.lit(value=False).alias("is_stale"),
            pl.lit(value=True).alias("is_accepted"),
        )
        # A rule that it was not judged by when it came: the mapping is another one now.
        unfit = rows.select(pl.coalesce("rejection", "unfit")).to_series()
        search = search.with_unfit(unfit, self._mapping.rejections)
        events = [row.value for _, row in kept]
        judged = _sought(_Judged(rows, ids, values, memory), search, table, events, stamp)
        latest = judged.rows.with_row_index("at")
        # What is kept of a text may be of a later change, which was refused.
        frames = [*mapped.targets]
        for target, field in self._kept:
            unset = pl.lit(UNAVAILABLE).alias(field)
            frames[target] = frames[target].with_columns(unset)
        targets = self._restore_unset(judged, latest, frames)
        effects = self._effects(judged, latest, targets)
        self._keep(judged, latest)
        return effects

    def _search(self, envelopes: pl.DataFrame, table: LookupTable) -> Search | None:
        lookups = self._mapping.lookups
        return Search.of(lookups, envelopes, table) if lookups else None

    def _keep(self, judged: _Judged, latest: pl.DataFrame) -> None:
        """Keep rows that look others up, for when these change."""
        seekers = judged.seekers
        if seekers is None:
            return
        versions = judged.versions(latest, _LAST).to_list()
        columns = latest.select("at", "row", "id", "is_delete").iter_rows()
        for version, (at, row, row_id, is_delete) in zip(versions, columns, strict=True):
            now = Seeker(version)
            if not is_delete:
                begins, wait = seekers.search.begins[at], seekers.search.waits[at]
                now = Seeker(version, begins, wait, seekers.values[at])
            seekers.table.keep(row_id, seekers.before[row], now)

    def _forget(self, row_ids: Sequence[str], table: LookupTable) -> None:
        """Keep nothing of rows that a truncation has deleted but their versions."""
        if self._mapping.lookups:
            for row_id, row in zip(row_ids, table.seekers(row_ids), strict=True):
                table.keep(row_id, row, Seeker(row.version))

    def _showing(self, latest: pl.DataFrame, mapped: MappedRows) -> list[OutputBatch]:
        """What changed rows show to those that look them up, on every partition."""
        if self._shows is None or latest.is_empty():
            return []
        ids = latest["id"].to_list()
        frame = mapped.shown[latest["at"]]
        columns = pl.lit(pl.Series([frame.columns])).first()
        shown = frame.select(
            pl.Series("id", ids, dtype=pl.String),
            columns.alias("columns"),
            pl.concat_list(frame.columns).alias("texts"),
        )
        everywhere = np.zeros(len(ids), np.uint16)
        places = np.where(latest["is_delete"].to_numpy(), NOWHERE, 0).astype(np.uint16)
        return self._shows.outputs(ids, shown, _Places(everywhere, ids), _Places(places, ids))

    def _gone(self, row_ids: list[str]) -> list[OutputBatch]:
        """The end of what rows show."""
        if self._shows is None or not row_ids:
            return []
        everywhere = np.zeros(len(row_ids), np.uint16)
        nowhere = np.full(len(row_ids), NOWHERE, np.uint16)
        empty = pl.DataFrame(schema=frame_dtypes(record_schema(str(PROJECTIONS.record))))
        was, now = _Places(everywhere, row_ids), _Places(nowhere, row_ids)
        return self._shows.outputs(row_ids, empty, was, now)

    def _decode(self, chunk: Chunk) -> DecodedChunk:
        return self._reader(chunk.partition).decode(chunk.values)

    def _reader(self, partition: int) -> ChunkReader:
        reader = self._readers.get(partition)
        if reader is None:
            reader = ChunkReader(self._registry.schema, reader=self._mapping.reader)
            self._readers[partition] = reader
        return reader

    def _judge(self, decoded: DecodedChunk, mapped: MappedRows, log: _Log, state: State) -> _Judged:
        """Compare each change with the last one applied to its row, in the state or before it.

        A row that a database's snapshot read is newer than all that was applied at a position up
        to the snapshot's, and older than all that is streamed after it, however low the position:
        a transaction may write before the snapshot and commit after it. So it gets the position
        next to the last applied one, or to where the present log begins. No change is streamed with
        that: positions in a log are as far apart as its records are long.
        """
        rows = mapped.rows.insert_column(0, pl.Series("record", decoded.rows, dtype=pl.Int64))
        rows = rows.with_columns(
            pl.Series("position", log.positions),
            pl.Series("log_begins", log.begins),
            table_reads(decoded.frame["source"]).alias("is_read"),
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
        after_newest = pl.max_horizontal(newest, "log_begins", 0) + 1
        rows = rows.with_columns(
            is_stale.alias("is_stale"),
            pl.when("is_read").then(after_newest).otherwise("position").alias("position"),
        )
        rows = rows.with_columns(
            (~pl.col("is_stale") & pl.col("rejection").is_null()).alias("is_accepted")
        )
        return _Judged(rows, ids, values, memory)

    def _restore_unset(
        self,
        judged: _Judged,
        latest: pl.DataFrame,
        targets: Sequence[pl.DataFrame],
        step: int = _LAST,
    ) -> list[pl.DataFrame]:
        """The canonical frames of `latest`, at the positions they were judged to have.

        Where the source sent no value there is the kept one. Upholds I12.

        A value that was never seen stays null: it is not known, and the placeholder is no value.
        That of a refused row counts: the source holds it, whatever else is wrong with the row.
        """
        settled = judged.versions(latest, step).alias("source_position")
        chosen = [frame[latest["at"]].with_columns(settled) for frame in targets]
        for kept_index, (target, field) in enumerate(self._kept):
            is_unset = chosen[target][field] == UNAVAILABLE
            rows = set(latest["row"].filter(is_unset))
            if not rows:
                continue
            known = {row: self._kept_text(judged.values[row], kept_index) for row in rows}
            last = dict(latest.select("row", "at").iter_rows())
            changes = self._telling(judged, targets[target][field])
            for at, row, is_delete, text in changes.filter(pl.col("row").is_in(rows)).iter_rows():
                if at <= last[row] and (is_delete or text != UNAVAILABLE):
                    known[row] = None if is_delete else text
            texts = [
                known[row] if text == UNAVAILABLE else text
                for row, text in zip(latest["row"], chosen[target][field], strict=True)
            ]
            restored = pl.Series(field, texts, dtype=pl.String)
            chosen[target] = chosen[target].with_columns(restored)
            _log.debug("unset_restored", topic=self._mapping.topic, field=field, rows=len(rows))
        return chosen

    def _telling(self, judged: _Judged, texts: pl.Series) -> pl.DataFrame:
        """The changes that tell of a text, in order: at, row, is_delete, text."""
        is_of_a_row = pl.col("rejection") >= self._mapping.envelope_rules
        return (
            judged.rows.with_row_index("at")
            .with_columns(texts.alias("text"))
            .filter(~pl.col("is_stale") & (pl.col("is_accepted") | is_of_a_row))
            .select("at", "row", "is_delete", "text")
        )

    def _keep_refused_texts(
        self, judged: _Judged, latest: pl.DataFrame, mapped: MappedRows, effects: Effects
    ) -> None:
        """Keep the texts of rows that were refused after their last accepted change."""
        if not self._kept or not judged.rows["rejection"].is_not_null().any():
            return
        last = dict(latest.select("row", "at").iter_rows())
        for kept_index, (target, field) in enumerate(self._kept):
            changes = self._telling(judged, mapped.targets[target][field])
            for at, row, _, text in changes.iter_rows():
                if at > last.get(row, -1) and text != UNAVAILABLE:
                    key = judged.ids[row].encode()
                    value = effects.state.get(key, judged.values[row])
                    if text is None and value is None:
                        continue  # as if it was never seen
                    at_text = len(self._moving) + kept_index
                    effects.state[key] = self._memory.with_text(
                        value, at_text, text, texts=len(self._moving) + len(self._kept)
                    )

    def _kept_text(self, value: bytes | None, kept_index: int) -> str | None:
        if value is None:
            return None
        return list(self._memory.texts(value))[len(self._moving) + kept_index]

    def _effects(
        self, judged: _Judged, latest: pl.DataFrame, targets: Sequence[pl.DataFrame]
    ) -> Effects:
        rows = latest["row"].to_numpy()
        ids = latest["id"].to_list()
        routes = [
            writer.routes(ids, frame).to_list()
            for writer, frame in zip(self._writers, targets, strict=True)
        ]
        old = judged.memory.partitions[rows]
        new = np.full_like(old, NOWHERE)
        for index, writer in enumerate(self._writers):
            is_there = latest.select(self._exists(index)).to_series().to_numpy()
            new[:, index] = np.where(is_there, writer.partitions(routes[index]), NOWHERE)
        before = [judged.values[row] for row in rows.tolist()]
        packed_routes = _packed(routes[index] for index in self._moving)
        former = self._former_routes(before, routes, packed_routes)
        outputs: list[OutputBatch] = []
        for index, (writer, frame) in enumerate(zip(self._writers, targets, strict=True)):
            was, now = _Places(old[:, index], former[index]), _Places(new[:, index], routes[index])
            outputs += writer.outputs(ids, frame, was, now)
        kept = [[packed(text) for text in targets[index][field]] for index, field in self._kept]
        memory = RowMemory(latest["position"].to_numpy(), new)
        texts = [packed_routes, *kept] if self._moving else kept
        values = self._memory.encode(memory, texts)
        state: dict[bytes, bytes | None] = {
            row_id.encode(): value for row_id, value in zip(ids, values, strict=True)
        }
        return Effects(state=state, outputs=[*outputs])

    def _exists(self, index: int) -> pl.Expr:
        """Whether there is a record of a target after a change."""
        exists = self._mapping.targets[index].exists
        is_live = ~pl.col("is_delete")
        if self._mapping.lookups:
            is_live &= pl.col("is_ready")
        return is_live if exists is None else is_live & pl.col(exists)

    def _passing(
        self, judged: _Judged, latest: pl.DataFrame, mapped: MappedRows
    ) -> list[OutputBatch]:
        """Records that came or changed and then went within the chunk: as they were, then gone.

        Who has ordered a row waits until it is seen, and orders anew when it has gone: of a row
        that nobody has seen it would wait for good, as chunks happen to be cut. (A text that is
        kept is null here.)
        """
        outputs: list[OutputBatch] = []
        for index in range(len(self._writers)):
            exists = self._exists(index)
            gone = set(latest["row"].filter(latest.select(~exists).to_series()))
            if not gone:
                continue
            last = (
                judged.rows.with_row_index("at")
                .filter(pl.col("is_accepted") & exists & pl.col("row").is_in(gone))
                .unique("row", keep="last", maintain_order=True)
            )
            if not last.is_empty():
                outputs += self._passed(judged, last, mapped, index)
        return outputs

    def _passed(
        self, judged: _Judged, last: pl.DataFrame, mapped: MappedRows, index: int
    ) -> list[OutputBatch]:
        """The records of one target as they last were, then gone."""
        writer = self._writers[index]
        targets = self._restore_unset(judged, last, mapped.targets, _PASSING)
        ids, rows = last["id"].to_list(), last["row"].to_list()
        routes = [
            writer.routes(ids, frame).to_list()
            for writer, frame in zip(self._writers, targets, strict=True)
        ]
        packed_routes = _packed(routes[moving] for moving in self._moving)
        before = [judged.values[row] for row in rows]
        former = self._former_routes(before, routes, packed_routes)
        nowhere = np.full(len(ids), NOWHERE, np.uint16)
        was = _Places(judged.memory.partitions[rows, index], former[index])
        then = _Places(writer.partitions(routes[index]), routes[index])
        gone = _Places(nowhere, routes[index])
        return [
            *writer.outputs(ids, targets[index], was, then),
            *writer.outputs(ids, targets[index], then, gone),
        ]

    def _empty(
        self,
        emptied_at: int,
        judged: _Judged,
        targets: Sequence[pl.DataFrame],
        state: State,
        effects: Effects,
    ) -> list[str]:
        """Add the deletion of all rows whose last change lies before a truncation; return all."""
        changed = set(effects.state)
        found = [
            (key, value)
            for key, value in state.scan(self._mapping.row_prefix.encode())
            if key not in changed
        ]
        memory = self._memory.decode([value for _, value in found])
        is_older = memory.positions < emptied_at
        is_gone = is_older & (memory.partitions != NOWHERE).any(axis=1)
        gone = np.flatnonzero(is_gone)
        ids = [found[at][0].decode() for at in gone]
        old = memory.partitions[gone]
        new = np.full_like(old, NOWHERE)
        routes = [ids for _ in self._writers]
        packed_routes = _packed(routes[index] for index in self._moving)
        former = self._former_routes([found[at][1] for at in gone], routes, packed_routes)
        for index, (writer, frame) in enumerate(zip(self._writers, targets, strict=True)):
            was = _Places(old[:, index], former[index])
            now = _Places(new[:, index], former[index])
            effects.outputs += writer.outputs(ids, frame.clear(), was, now)
        positions = np.full(len(gone), emptied_at, np.int64)
        nothing = [packed(None)] * len(gone)
        texts = [nothing for _ in (*self._moving, *self._kept)]
        values = self._memory.encode(RowMemory(positions, new), texts)
        effects.state |= zip((row_id.encode() for row_id in ids), values, strict=True)
        return [found[at][0].decode() for at in np.flatnonzero(is_older)]

    def _former_routes(
        self,
        before: Sequence[bytes | None],
        routes: Sequence[list[str]],
        packed_routes: Sequence[bytes],
    ) -> list[list[str]]:
        """The co-partition keys of each target before the chunk; the present ones if there is none.

        Most rows stay where they are: only of the others is the memory taken apart.
        """
        former = [*routes]
        for index in self._moving:
            former[index] = [*routes[index]]
        if not self._moving:
            return former
        has_texts = self._memory.has_texts
        for at, (value, now) in enumerate(zip(before, packed_routes, strict=True)):
            if value is None or has_texts(value, now):
                continue
            for index, text in zip(self._moving, self._memory.texts(value), strict=False):
                if text is not None:
                    former[index][at] = text
        return former

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

    `rows` is the chunk without truncations, `positions` the positions of its rows, `begins` where
    the log of each begins, `truncations` the indexes in the chunk of those that are new.
    """

    before: SourceLog
    after: SourceLog
    rows: DecodedChunk
    positions: Positions
    begins: Positions
    truncations: Sequence[int]

    @classmethod
    def of(cls, mapping: ObjectMapping, chunk: Chunk, decoded: DecodedChunk, state: State) -> Self:
        """Read it off a decoded chunk, given the log so far."""
        positions = decoded.frame.select(mapping.position)["position"].to_numpy()
        if not mapping.is_database:
            none = SourceLog()
            return cls(none, none, decoded, positions, np.zeros_like(positions), ())
        before = SourceLog.from_bytes(state.get(log_key(mapping.topic)))
        is_truncation = (
            (decoded.frame["op"] == Operation.TRUNCATE.value).fill_null(False).to_numpy()
        )
        at = np.flatnonzero(is_truncation)
        is_copy = np.zeros(len(is_truncation), np.bool_)
        is_copy[at] = [chunk.keys[decoded.rows[index]] is not None for index in at]
        offsets = np.array([chunk.offsets[index] for index in decoded.rows], np.int64)
        after, positions, begins = before.after(
            positions,
            decoded.frame["source"],
            offsets,
            is_truncation=is_truncation,
            is_copy=is_copy,
        )
        if not len(at):
            return cls(before, after, decoded, positions, begins, ())
        kept = np.flatnonzero(~is_truncation)
        after = replace(after, emptied_at=max(before.emptied_at, int(positions[at].max())))
        rows = replace(
            decoded, frame=decoded.frame[kept], rows=[decoded.rows[index] for index in kept]
        )
        truncations = [decoded.rows[index] for index in at]
        return cls(before, after, rows, positions[kept], begins[kept], truncations)

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
    others = [each for each in range(PARTITIONS) if each != chunk.partition]
    return [
        Output(chunk.topic, partition, HANDED_ON, chunk.values[at])
        for at in truncations
        if chunk.keys[at] is None
        for partition in others
    ]


def _sought(
    judged: _Judged,
    search: Search,
    table: LookupTable,
    values: Sequence[bytes | None],
    stamp: int,
) -> _Judged:
    """With what rows found: whether they are ready, and the versions that they may bear."""
    before = table.seekers(judged.ids)
    floors = np.array([max(row.version, stamp) for row in before], np.int64)
    seekers = _Seekers(table, search, values, before, floors)
    return replace(judged, rows=judged.rows.with_columns(seekers.is_ready()), seekers=seekers)


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


def _packed(columns: Iterable[list[str]]) -> list[bytes]:
    """The texts of each row, one behind another, as the memory keeps them."""
    each = [
        list(map({text: packed(text) for text in set(column)}.__getitem__, column))
        for column in columns
    ]
    return each[0] if len(each) == 1 else [b"".join(row) for row in zip(*each, strict=True)]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the records of some rows lie: the partition of each, and its co-partition key."""

    partitions: Partitions
    routes: list[str]


class _TargetWriter:
    """Publishes the canonical records of one target."""

    def __init__(self, target: TargetMapping, ids: SubjectIds) -> None:
        assert target.topic.record is not None
        self._topic = target.topic
        self._ids = ids
        self._contract = record_schema(target.topic.record)
        self._encoder = ChunkEncoder(self._contract)

    @property
    def rows_move(self) -> bool:
        """Whether a row may get another co-partition key."""
        return self._topic.rows_move

    def routes(self, ids: list[str], frame: pl.DataFrame) -> pl.Series:
        """The co-partition key of each record; the row's id where it has none."""
        own = pl.Series("route", ids, dtype=pl.String)
        if self._topic.route is Route.BROADCAST:
            return own
        assert self._topic.route_field is not None
        return frame.select(pl.coalesce(self._topic.route_field, own).alias("route"))["route"]

    def partitions(self, routes: list[str]) -> Partitions:
        """Where each record belongs; 0 stands for everywhere if the topic is broadcast."""
        if self._topic.route is Route.BROADCAST:
            return np.zeros(len(routes), np.uint16)
        numbers = {route: partition_of(route, self._topic.partitions) for route in set(routes)}
        return np.fromiter(map(numbers.__getitem__, routes), np.uint16, len(routes))

    def outputs(
        self, ids: list[str], frame: pl.DataFrame, was: _Places, now: _Places
    ) -> list[OutputBatch]:
        """Tombstones of the keys that rows had, then the rows.

        In this order: a row that moves within a partition must not be deleted behind itself.
        """
        name = self._topic.name
        key_id = self._ids.subject_id(f"{name}-key", KEY_SCHEMA)
        prefix = header(self._ids.subject_id(f"{name}-value", self._contract.text))
        is_live = now.partitions != NOWHERE
        has_left = ~is_live
        if self._topic.rows_move:
            has_left |= np.fromiter(map(ne, was.routes, now.routes), np.bool_, len(ids))
        live = np.flatnonzero(is_live)
        gone = np.flatnonzero((was.partitions != NOWHERE) & has_left)
        values = self._encoder.encode(frame[live], prefix=prefix)
        upserts = self._batch(key_id, ids, now, live, values)
        tombstones = self._batch(key_id, ids, was, gone, [None] * len(gone))
        return [batch for batch in (tombstones, upserts) if batch.keys]

    def _batch(
        self,
        key_id: int,
        ids: list[str],
        places: _Places,
        chosen: Chosen,
        values: Sequence[bytes | None],
    ) -> OutputBatch:
        key = self._topic.message_key
        at = chosen.tolist()
        keys = encode_keys(key_id, [key(places.routes[row], ids[row]) for row in at])
        if self._topic.route is not Route.BROADCAST:
            partitions = places.partitions[chosen].tolist()
            return OutputBatch(self._topic.name, partitions, keys, values)
        copies = range(self._topic.partitions)
        return OutputBatch(
            self._topic.name,
            [partition for partition in copies for _ in keys],
            [key for _ in copies for key in keys],
            [value for _ in copies for value in values],
        )
