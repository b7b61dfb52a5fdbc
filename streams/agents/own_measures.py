"""Handlers of the measures of the firm's own: a group of agents beside the product's.

It reads the canonical objects that measures count, so nothing that the product computes waits for
it. Each chunk costs one run of a query a measure, for the rows as they were and as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from schemas.codec.columnar import ChunkReader
from schemas.contracts import record_schema
from schemas.errors import RecordError, TableCorruptedError
from schemas.keys import decode_key
from schemas.routing import partition_of
from schemas.topics import PARTITIONS, Route, Topic
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.publish import Publisher
from streams.agents.records import RecordHandlers, rejection
from streams.agents.registry import SchemaSource
from streams.engine import Accounting, Chunk, ChunkHandler, Effects, State
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.foundation.facts import MeasurePartial
from tables.measures.own import OBJECTS, OwnMeasure
from tables.measures.own_rows import PARTIAL_TOPIC, PROJECT, OwnRows, OwnTotals, has_context
from tables.project.time_entry import EntryChanges

GROUP: Final = "measures"


def own_handlers(measures: Sequence[OwnMeasure], registry: SchemaSource) -> dict[str, ChunkHandler]:
    """Return the handler of each topic that measures need."""
    objects = {each.of for each in measures}
    if any(map(has_context, objects)):
        objects.add(PROJECT)
    topics: Mapping[str, Topic] = {each.measure.topic: each.topic for each in measures}
    totals = RecordHandlers(
        GROUP,
        registry,
        lambda docs, outbox, _: OwnTotals(docs, outbox, measures),
        OwnTotals.settle,
        topics,
    )
    rows = _Rows(registry)
    return {
        **{
            OBJECTS[name].name: _RowHandler(name, measures, registry, rows)
            for name in sorted(objects)
        },
        PARTIAL_TOPIC: totals(MeasurePartial, OwnTotals.apply_partial),
    }


class _Rows:
    """Reads rows of canonical objects, any version of their contracts as this one."""

    def __init__(self, registry: SchemaSource) -> None:
        self._registry = registry
        self._readers = threading.local()  # a reader serves one thread at a time

    def reader(self, name: str) -> ChunkReader:
        """Return the reader of an object."""
        readers: dict[str, ChunkReader] = self._readers.__dict__
        if name not in readers:
            contract = record_schema(str(OBJECTS[name].record))
            readers[name] = ChunkReader(self._registry.schema, reader=contract)
        return readers[name]

    def stored(self, name: str, values: Sequence[bytes]) -> pl.DataFrame:
        """Decode rows as stored. Raises TableCorruptedError."""
        decoded = self.reader(name).decode(values)
        if decoded.errors:
            raise TableCorruptedError(
                f"a stored row of {name} cannot be read: {decoded.errors[0][1].detail}",
                hint="delete the worker's state directory: it is rebuilt from the state log",
            )
        return decoded.frame


class _RowHandler:
    """A chunk handler of the rows of one object."""

    def __init__(
        self, name: str, measures: Sequence[OwnMeasure], registry: SchemaSource, rows: _Rows
    ) -> None:
        self._name = name
        self._measures = measures
        self._registry = registry
        self._rows = rows
        self._publisher = Publisher(registry)

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Apply a chunk. Raises RegistryUnavailableError where the registry does not answer."""
        if not len(chunk):
            return Effects()
        documents, outbox = Documents(state), Outbox()
        changes, refusals = self._changes(chunk)
        table = OwnRows(documents, self._measures, self._rows.stored, f"{GROUP}-{chunk.partition}")
        tally = table.apply(self._name, changes, self._owns(chunk.partition))
        table.settle(outbox)
        letters = dead_letters(chunk, refusals, agent=GROUP, ids=self._registry)
        return Effects(
            state=documents.changes(),
            outputs=[*self._publisher.outputs(outbox), *letters],
            accounting=Accounting(tally.applied, tally.stale, tally.parked, len(refusals)),
        )

    def _owns(self, partition: int) -> Callable[[str], bool]:
        """Whether a row is counted on a partition: of a broadcast object each is on one only."""
        if OBJECTS[self._name].route is not Route.BROADCAST:
            return lambda _: True
        return lambda row: partition_of(row, PARTITIONS) == partition

    def _changes(self, chunk: Chunk) -> tuple[EntryChanges, list[Refusal]]:
        decoded = self._rows.reader(self._name).decode(chunk.values)
        refusals = [Refusal(index, rejection(error)) for index, error in decoded.errors]
        ids: dict[int, str] = dict(zip(decoded.rows, decoded.frame["id"].to_list(), strict=True))
        for index in decoded.tombstones:
            try:
                ids[index] = OBJECTS[self._name].row_id(decode_key(chunk.keys[index] or b""))
            except RecordError as error:
                refusals.append(Refusal(index, rejection(error)))
        order = sorted(ids)
        changes = EntryChanges(
            ids=[ids[index] for index in order],
            values=[chunk.values[index] for index in order],
            frame=decoded.frame,
        )
        return changes, refusals
