"""Normalize: change events of one source topic to canonical records.

A handler decodes a chunk, maps it by columns, drops what is stale, and publishes the last change
of each row to where its co-partition key sends it; a row that moved is deleted at its old place
in the same transaction, and one that has gone is shown as it last was. It knows no vendor: what a
row means is in the mapping.

A database tells that a table was truncated by one event on one partition, while the rows lie on
all of them. So the event is handed on to the others, and each deletes the rows it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import structlog

from schemas.codec.columnar import ChunkReader, DecodedChunk, frame_dtypes
from schemas.contracts import record_schema
from schemas.envelope import UNAVAILABLE, Operation
from schemas.exact import FEW
from schemas.mapping.compiled import MappedRows, ObjectMapping, Rejection, TargetMapping
from schemas.position import table_reads
from schemas.topics import PARTITIONS
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.lookups import PROJECTIONS, Search, stamp_of
from streams.agents.normalize_state import (
    NOWHERE,
    Positions,
    RowMemory,
    RowMemoryCodec,
    packed,
)
from streams.agents.normalize_writer import Chosen, Places, TargetWriter, part
from streams.agents.registry import SchemaSource
from streams.agents.source_log import SourceLog, log_key
from streams.engine import Accounting, Chunk, Effects, Output, OutputBatch, State
from tables.lookups import LookupTable, Reason, Seeker, Wait

AGENT: Final = "normalize"
HANDED_ON: Final = b"truncated"
"""Key of the copies of a truncation: Debezium's own event has none."""
TIMELINE_CHANGED: Final = "timeline_changed"
TRUNCATED: Final = "truncated"

Flags = npt.NDArray[np.bool_]
_LOWEST: Final = np.iinfo(np.int64).min

_log = structlog.get_logger()


def make_normalizer(
    mapping: ObjectMapping, registry: SchemaSource, *, few: int = FEW
) -> Normalizer:
    """The handler of the chunks of `mapping.topic`. No schema is asked for before the first.

    `few` as for ChunkEncoder.
    """
    return Normalizer(mapping, registry, few)


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

    def is_ready(self) -> Flags:
        """Whether what a row looks up is there."""
        return np.array([wait is None for wait in self.search.waits], np.bool_)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The decoded records of a chunk with their outcome, and the memory of their rows.

    The arrays are parallel to the canonical frames. `records` are indexes in the chunk, `rows` into
    `ids` (-1: the record has no id), `positions` those to remember and publish, `rejections` into
    those of the mapping (-1: none); `exists` are by target.
    """

    records: Sequence[int]
    rows: Chosen
    positions: Positions
    rejections: Positions
    is_delete: Flags
    is_stale: Flags
    is_accepted: Flags
    exists: Sequence[Flags]
    ids: list[str]
    values: list[bytes | None]
    memory: RowMemory
    seekers: _Seekers | None = None

    def last_of(self, is_chosen: Flags) -> Chosen:
        """The last chosen record of each row that has one, in order."""
        chosen = np.flatnonzero(is_chosen)
        last = np.full(len(self.ids), -1, np.intp)
        last[self.rows[chosen]] = chosen
        return np.sort(last[last >= 0])

    def ids_of(self, chosen: Chosen) -> list[str]:
        """The ids of the rows of records."""
        return list(map(self.ids.__getitem__, self.rows[chosen].tolist()))

    def versions(self, chosen: Chosen, step: int) -> Positions:
        """What the records of some rows bear, so that readers take each for newer than the last.

        Their position, or where what they look up may change it, one that grows each time.
        """
        if self.seekers is None:
            return self.positions[chosen]
        floors = self.seekers.floors[self.rows[chosen]]
        return np.maximum(floors, self.positions[chosen]) + step


_PASSING: Final = 1
_LAST: Final = 2
"""Steps from the former version of a row to what a chunk shows of it: first what passes."""


class Normalizer:
    """A chunk handler. Thread-safe as long as no partition is handled by two threads at once."""

    def __init__(self, mapping: ObjectMapping, registry: SchemaSource, few: int) -> None:
        self._mapping = mapping
        self._registry = registry
        self._memory = RowMemoryCodec(len(mapping.targets))
        self._kept = [
            (index, field)
            for index, target in enumerate(mapping.targets)
            for field in target.unset_kept
        ]
        self._writers = [TargetWriter(target, registry, few) for target in mapping.targets]
        self._moving = [at for at, writer in enumerate(self._writers) if writer.rows_move]
        self._shows: TargetWriter | None = None
        if mapping.shown:
            self._shows = TargetWriter(TargetMapping(PROJECTIONS, (), {}), registry, few)
        # Readers are not thread-safe; a partition is never handled by two threads at once.
        self._readers: dict[int, ChunkReader] = {}

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Upholds I3 (stale changes nothing), I5 (all accounted) and I12 (unset is not a value)."""
        decoded = self._decode(chunk)
        log = _Log.of(self._mapping, chunk, decoded, state)
        decoded = log.rows
        table = LookupTable(state)
        search = self._search(decoded.frame, table)
        envelopes = decoded.frame.hstack([pl.Series("position", log.told)])
        mapped = self._mapping.apply(envelopes, None if search is None else search.columns)
        judged = self._judge(decoded, mapped, log, state)
        if search is not None:
            values = [chunk.values[record] for record in decoded.rows]
            search = search.with_unfit(mapped.rows["unfit"], self._mapping.rejections)
            judged = _sought(judged, search, table, values, stamp_of(chunk))
        latest = judged.last_of(judged.is_accepted)
        targets = self._restore_unset(judged, latest, mapped.targets)
        effects = self._effects(judged, latest, targets)
        effects.outputs[:0] = self._passing(judged, latest, mapped)
        effects.outputs += self._showing(judged, latest, mapped)
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
        refusals = self._refusals(decoded, judged)
        effects.outputs += dead_letters(chunk, refusals, agent=AGENT, ids=self._registry)
        waiting = 0
        if judged.seekers is not None:
            is_waiting = ~judged.seekers.is_ready() & ~judged.is_delete
            waiting = int(is_waiting[latest].sum())
        effects.accounting = Accounting(
            applied=int(judged.is_accepted.sum()) + len(log.truncations) - waiting,
            parked=waiting,
            # A tombstone repeats the delete in front of it.
            stale=int(judged.is_stale.sum()) + len(decoded.tombstones),
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
        count = len(ids)
        judged = _Judged(
            records=range(count),
            rows=np.arange(count),
            positions=memory.positions,
            rejections=_whole(mapped.rows["rejection"]),
            is_delete=_flags(mapped.rows["is_delete"]),
            is_stale=np.zeros(count, np.bool_),
            is_accepted=np.ones(count, np.bool_),
            exists=self._existing(mapped),
            ids=ids,
            values=values,
            memory=memory,
        )
        # A rule that it was not judged by when it came: the mapping is another one now.
        unfit = mapped.rows.select(pl.coalesce("rejection", "unfit")).to_series()
        search = search.with_unfit(unfit, self._mapping.rejections)
        events = [row.value for _, row in kept]
        judged = _sought(judged, search, table, events, stamp)
        latest = np.arange(count)
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

    def _keep(self, judged: _Judged, latest: Chosen) -> None:
        """Keep rows that look others up, for when these change."""
        seekers = judged.seekers
        if seekers is None:
            return
        versions = judged.versions(latest, _LAST).tolist()
        for version, at in zip(versions, latest.tolist(), strict=True):
            now = Seeker(version)
            if not judged.is_delete[at]:
                begins, wait = seekers.search.begins[at], seekers.search.waits[at]
                now = Seeker(version, begins, wait, seekers.values[at])
            row = judged.rows[at]
            seekers.table.keep(judged.ids[row], seekers.before[row], now)

    def _forget(self, row_ids: Sequence[str], table: LookupTable) -> None:
        """Keep nothing of rows that a truncation has deleted but their versions."""
        if self._mapping.lookups:
            for row_id, row in zip(row_ids, table.seekers(row_ids), strict=True):
                table.keep(row_id, row, Seeker(row.version))

    def _showing(self, judged: _Judged, latest: Chosen, mapped: MappedRows) -> list[OutputBatch]:
        """What changed rows show to those that look them up, on every partition."""
        if self._shows is None or not len(latest):
            return []
        ids = judged.ids_of(latest)
        frame = mapped.shown[latest]
        columns = pl.lit(pl.Series([frame.columns])).first()
        shown = frame.select(
            pl.Series("id", ids, dtype=pl.String),
            columns.alias("columns"),
            pl.concat_list(frame.columns).alias("texts"),
        )
        everywhere = np.zeros(len(ids), np.uint16)
        places = np.where(judged.is_delete[latest], NOWHERE, 0).astype(np.uint16)
        return self._shows.outputs(ids, shown, Places(everywhere, ids), Places(places, ids))

    def _gone(self, row_ids: list[str]) -> list[OutputBatch]:
        """The end of what rows show."""
        if self._shows is None or not row_ids:
            return []
        everywhere = np.zeros(len(row_ids), np.uint16)
        nowhere = np.full(len(row_ids), NOWHERE, np.uint16)
        empty = pl.DataFrame(schema=frame_dtypes(record_schema(str(PROJECTIONS.record))))
        was, now = Places(everywhere, row_ids), Places(nowhere, row_ids)
        return self._shows.outputs(row_ids, empty, was, now)

    def _decode(self, chunk: Chunk) -> DecodedChunk:
        decoded = self._reader(chunk.partition).decode(chunk.values)
        return replace(decoded, frame=self._mapping.placed(decoded.frame))

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
        told: list[str | None] = mapped.rows["id"].to_list()
        numbers: dict[str | None, int] = {each: at for at, each in enumerate(dict.fromkeys(told))}
        if None in told:
            del numbers[None]
            numbers = {each: at for at, each in enumerate(numbers)} | {None: -1}
        rows = np.fromiter(map(numbers.__getitem__, told), np.intp, len(told))
        ids = [each for each in numbers if each is not None]
        values = state.get_many([row_id.encode() for row_id in ids])
        memory = self._memory.decode(values)
        # What has no id has no memory: its last position is that of nothing.
        last = np.append(memory.positions, _LOWEST)[rows]
        rejections = _whole(mapped.rows["rejection"])
        is_read = table_reads(decoded.frame["source"]).to_numpy()
        is_sound = (rejections < 0) & ~is_read
        newest = np.maximum(last, _newest_before(rows, log.positions, is_sound))
        newest = np.maximum(newest, log.after.emptied_at)
        is_stale = (log.positions >= 0) & (log.positions <= newest)
        after_newest = np.maximum(np.maximum(newest, log.begins), 0) + 1
        return _Judged(
            records=decoded.rows,
            rows=rows,
            positions=np.where(is_read, after_newest, log.positions),
            rejections=rejections,
            is_delete=_flags(mapped.rows["is_delete"]),
            is_stale=is_stale,
            is_accepted=~is_stale & (rejections < 0),
            exists=self._existing(mapped),
            ids=ids,
            values=values,
            memory=memory,
        )

    def _existing(self, mapped: MappedRows) -> list[Flags]:
        """Whether each record has one of each target, unless it deletes its row."""
        everywhere = np.ones(mapped.rows.height, np.bool_)
        names = [target.exists for target in self._mapping.targets]
        return [everywhere if name is None else _flags(mapped.rows[name]) for name in names]

    def _restore_unset(
        self,
        judged: _Judged,
        latest: Chosen,
        targets: Sequence[pl.DataFrame],
        step: int = _LAST,
    ) -> list[pl.DataFrame]:
        """The canonical frames of `latest`, at the positions they were judged to have.

        Where the source sent no value there is the kept one. Upholds I12.

        A value that was never seen stays null: it is not known, and the placeholder is no value.
        That of a refused row counts: the source holds it, whatever else is wrong with the row.
        """
        settled = pl.Series("source_position", judged.versions(latest, step), dtype=pl.Int64)
        chosen = [_with(part(frame, latest), settled) for frame in targets]
        rows = judged.rows[latest].tolist()
        for kept_index, (target, field) in enumerate(self._kept):
            texts = chosen[target][field].to_list()
            if UNAVAILABLE not in texts:
                continue
            unset = {row for row, text in zip(rows, texts, strict=True) if text == UNAVAILABLE}
            known = {row: self._kept_text(judged.values[row], kept_index) for row in unset}
            last = dict(zip(rows, latest.tolist(), strict=True))
            for at, row, is_delete, text in self._telling(judged, targets[target][field]):
                if row in unset and at <= last[row] and (is_delete or text != UNAVAILABLE):
                    known[row] = None if is_delete else text
            texts = [
                known[row] if text == UNAVAILABLE else text
                for row, text in zip(rows, texts, strict=True)
            ]
            restored = pl.Series(field, texts, dtype=pl.String)
            chosen[target] = _with(chosen[target], restored)
            _log.debug(
                "worker.unset_restored", topic=self._mapping.topic, field=field, rows=len(unset)
            )
        return chosen

    def _telling(
        self, judged: _Judged, texts: pl.Series
    ) -> Iterator[tuple[int, int, bool, str | None]]:
        """The changes that tell of a text, in order: at, row, is_delete, text."""
        is_of_a_row = judged.rejections >= self._mapping.envelope_rules
        tells = ~judged.is_stale & (judged.is_accepted | is_of_a_row)
        for at in np.flatnonzero(tells).tolist():
            yield at, int(judged.rows[at]), bool(judged.is_delete[at]), texts[at]

    def _keep_refused_texts(
        self, judged: _Judged, latest: Chosen, mapped: MappedRows, effects: Effects
    ) -> None:
        """Keep the texts of rows that were refused after their last accepted change."""
        if not self._kept or not (judged.rejections >= 0).any():
            return
        last = dict(zip(judged.rows[latest].tolist(), latest.tolist(), strict=True))
        for kept_index, (target, field) in enumerate(self._kept):
            for at, row, _, text in self._telling(judged, mapped.targets[target][field]):
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

    def _effects(self, judged: _Judged, latest: Chosen, targets: Sequence[pl.DataFrame]) -> Effects:
        rows = judged.rows[latest]
        ids = judged.ids_of(latest)
        routes = [
            writer.routes(ids, frame) for writer, frame in zip(self._writers, targets, strict=True)
        ]
        old = judged.memory.partitions[rows]
        new = np.full_like(old, NOWHERE)
        for index, writer in enumerate(self._writers):
            is_there = _exists(judged, index)[latest]
            new[:, index] = np.where(is_there, writer.partitions(routes[index]), NOWHERE)
        before = [judged.values[row] for row in rows.tolist()]
        packed_routes = _packed(routes[index] for index in self._moving)
        former = self._former_routes(before, routes, packed_routes)
        outputs: list[OutputBatch] = []
        for index, (writer, frame) in enumerate(zip(self._writers, targets, strict=True)):
            was, now = Places(old[:, index], former[index]), Places(new[:, index], routes[index])
            outputs += writer.outputs(ids, frame, was, now)
        kept = [[packed(text) for text in targets[index][field]] for index, field in self._kept]
        memory = RowMemory(judged.positions[latest], new)
        texts = [packed_routes, *kept] if self._moving else kept
        values = self._memory.encode(memory, texts)
        state: dict[bytes, bytes | None] = {
            row_id.encode(): value for row_id, value in zip(ids, values, strict=True)
        }
        return Effects(state=state, outputs=[*outputs])

    def _passing(self, judged: _Judged, latest: Chosen, mapped: MappedRows) -> list[OutputBatch]:
        """Records that came or changed and then went within the chunk: as they were, then gone.

        Who has ordered a row waits until it is seen, and orders anew when it has gone: of a row
        that nobody has seen it would wait for good, as chunks happen to be cut. (A text that is
        kept is null here.)
        """
        outputs: list[OutputBatch] = []
        for index in range(len(self._writers)):
            exists = _exists(judged, index)
            has_gone = np.zeros(len(judged.ids), np.bool_)
            has_gone[judged.rows[latest[~exists[latest]]]] = True
            if not has_gone.any():
                continue
            last = judged.last_of(judged.is_accepted & exists & has_gone[judged.rows])
            if len(last):
                outputs += self._passed(judged, last, mapped, index)
        return outputs

    def _passed(
        self, judged: _Judged, last: Chosen, mapped: MappedRows, index: int
    ) -> list[OutputBatch]:
        """The records of one target as they last were, then gone."""
        writer = self._writers[index]
        targets = self._restore_unset(judged, last, mapped.targets, _PASSING)
        ids, rows = judged.ids_of(last), judged.rows[last].tolist()
        routes = [
            writer.routes(ids, frame) for writer, frame in zip(self._writers, targets, strict=True)
        ]
        packed_routes = _packed(routes[moving] for moving in self._moving)
        before = [judged.values[row] for row in rows]
        former = self._former_routes(before, routes, packed_routes)
        nowhere = np.full(len(ids), NOWHERE, np.uint16)
        was = Places(judged.memory.partitions[rows, index], former[index])
        then = Places(writer.partitions(routes[index]), routes[index])
        gone = Places(nowhere, routes[index])
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
            was = Places(old[:, index], former[index])
            now = Places(new[:, index], former[index])
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

    def _refusals(self, decoded: DecodedChunk, judged: _Judged) -> list[Refusal]:
        """Undecodable and rejected records in chunk order; a stale one is no longer judged."""
        refusals = [
            Refusal(index, Rejection(error.code, error.detail, error.hint))
            for index, error in decoded.errors
        ]
        refused = np.flatnonzero(~judged.is_stale & (judged.rejections >= 0)).tolist()
        reasons = self._mapping.rejections
        refusals += [Refusal(judged.records[at], reasons[judged.rejections[at]]) for at in refused]
        return sorted(refusals, key=lambda refusal: refusal.index)


@dataclass(frozen=True, slots=True)
class _Log:
    """What a chunk tells of its source as a whole.

    `rows` is the chunk without truncations, `told` the positions of its rows as the source tells
    them, `positions` those to go by, `begins` where the log of each begins, `truncations` the
    indexes in the chunk of those that are new.
    """

    before: SourceLog
    after: SourceLog
    rows: DecodedChunk
    told: Positions
    positions: Positions
    begins: Positions
    truncations: Sequence[int]

    @classmethod
    def of(cls, mapping: ObjectMapping, chunk: Chunk, decoded: DecodedChunk, state: State) -> Self:
        """Read it off a decoded chunk, given the log so far."""
        told = decoded.frame.select(mapping.position)["position"].to_numpy()
        if not mapping.is_database:
            none = SourceLog()
            return cls(none, none, decoded, told, told, np.zeros_like(told), ())
        before = SourceLog.from_bytes(state.get(log_key(mapping.topic)))
        is_truncation = _flags(decoded.frame["op"] == Operation.TRUNCATE.value)
        at = np.flatnonzero(is_truncation)
        is_copy = np.zeros(len(is_truncation), np.bool_)
        is_copy[at] = [chunk.keys[decoded.rows[index]] is not None for index in at]
        offsets = np.array([chunk.offsets[index] for index in decoded.rows], np.int64)
        after, positions, begins = before.after(
            told,
            decoded.frame["source"],
            offsets,
            is_truncation=is_truncation,
            is_copy=is_copy,
        )
        if not len(at):
            return cls(before, after, decoded, told, positions, begins, ())
        kept = np.flatnonzero(~is_truncation)
        after = replace(after, emptied_at=max(before.emptied_at, int(positions[at].max())))
        rows = replace(
            decoded, frame=decoded.frame[kept], rows=[decoded.rows[index] for index in kept]
        )
        truncations = [decoded.rows[index] for index in at]
        return cls(before, after, rows, told[kept], positions[kept], begins[kept], truncations)

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
    return replace(judged, seekers=seekers)


def _exists(judged: _Judged, target: int) -> Flags:
    """Whether there is a record of a target after each change."""
    is_live = ~judged.is_delete & judged.exists[target]
    return is_live if judged.seekers is None else is_live & judged.seekers.is_ready()


def _flags(known: pl.Series) -> Flags:
    """Whether something is known to be so."""
    return (known.fill_null(value=False) if known.null_count() else known).to_numpy()


def _whole(numbers: pl.Series) -> Positions:
    """Numbers with -1 for null."""
    if numbers.null_count() == len(numbers):
        return np.full(len(numbers), -1, np.int64)
    known = numbers.cast(pl.Int64)
    return (known.fill_null(-1) if known.null_count() else known).to_numpy()


def _with(frame: pl.DataFrame, column: pl.Series) -> pl.DataFrame:
    """A frame with another column in place of its own."""
    changed = frame.clone()
    return changed.replace_column(frame.get_column_index(column.name), column)


def _newest_before(rows: Chosen, positions: Positions, is_sound: Flags) -> Positions:
    """The newest position of a sound change of the same row earlier in the chunk, if there is one.

    A snapshot's read is no change: it stands at the newest position, whatever its own.
    Most rows change once: only the others are looked at one by one.
    """
    newest = np.full(len(rows), _LOWEST, np.int64)
    counts = np.bincount(rows[rows >= 0], minlength=1)
    is_repeated = (counts[rows] > 1) & (rows >= 0)
    if not is_repeated.any():
        return newest
    seen: dict[int, int] = {}
    places = np.flatnonzero(is_repeated)
    columns = (rows[places], positions[places], is_sound[places])
    each = zip(places.tolist(), *(column.tolist() for column in columns), strict=True)
    for at, row, position, counts_too in each:
        newest[at] = seen.get(row, _LOWEST)
        if counts_too:
            seen[row] = max(seen.get(row, _LOWEST), position)
    return newest


def _packed(columns: Iterable[list[str]]) -> list[bytes]:
    """The texts of each row, one behind another, as the memory keeps them."""
    each = [
        list(map({text: packed(text) for text in set(column)}.__getitem__, column))
        for column in columns
    ]
    return each[0] if len(each) == 1 else [b"".join(row) for row in zip(*each, strict=True)]
