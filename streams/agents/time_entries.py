"""Handler of `psa.time_entry`: a chunk of time entries into the project table, by columns."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import polars as pl

from schemas.codec.columnar import ChunkReader
from schemas.contracts import record_schema
from schemas.errors import RecordError, TableCorruptedError
from schemas.exact import FEW
from schemas.keys import decode_key, row_id_of
from schemas.landscape import Landscape
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.open_exceptions import kept
from streams.agents.publish import Publisher
from streams.agents.records import rejection
from streams.agents.registry import SchemaSource
from streams.engine import Accounting, Chunk, Effects, State
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.project.table import ProjectTable
from tables.project.time_entry import EntryChanges

GROUP = "project"


class TimeEntryHandler:
    """A chunk handler for time entries."""

    def __init__(self, registry: SchemaSource, landscape: Landscape, *, few: int = FEW) -> None:
        """Up to `few` rows are taken one after the other, more as columns."""
        self._registry = registry
        self._landscape = landscape
        self._publisher = Publisher(registry, few=few)
        self._few = few
        self._contract = record_schema("canonical/time_entry")
        self._readers = threading.local()  # a reader serves one thread at a time

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Apply a chunk. Raises RegistryUnavailableError where the registry does not answer."""
        if not len(chunk):
            return Effects()
        documents, outbox = Documents(state), Outbox(few=self._few)
        changes, refusals = self._changes(chunk)
        table = ProjectTable(documents, outbox, chunk.partition, self.stored_rows, self._landscape)
        tally = table.apply_time_entries(changes, chunk.timestamps_ms[-1])
        table.settle(chunk.timestamps_ms[-1])
        letters = dead_letters(chunk, refusals, agent=GROUP, ids=self._registry)
        return Effects(
            state={**documents.changes(), **kept(outbox)},
            outputs=[*self._publisher.outputs(outbox), *letters],
            accounting=Accounting(tally.applied, tally.stale, tally.parked, len(refusals)),
        )

    def _reader(self) -> ChunkReader:
        reader: ChunkReader | None = getattr(self._readers, "reader", None)
        if reader is None:
            reader = ChunkReader(self._registry.schema, reader=self._contract)
            self._readers.reader = reader
        return reader

    def _changes(self, chunk: Chunk) -> tuple[EntryChanges, list[Refusal]]:
        decoded = self._reader().decode(chunk.values)
        refusals = [Refusal(index, rejection(error)) for index, error in decoded.errors]
        ids: dict[int, str] = dict(zip(decoded.rows, decoded.frame["id"].to_list(), strict=True))
        for index in decoded.tombstones:
            try:
                ids[index] = row_id_of(decode_key(chunk.keys[index] or b""))
            except RecordError as error:
                refusals.append(Refusal(index, rejection(error)))
        order = sorted(ids) if decoded.tombstones else decoded.rows
        changes = EntryChanges(
            ids=[ids[index] for index in order],
            values=[chunk.values[index] for index in order],
            frame=decoded.frame,
        )
        return changes, refusals

    def stored_rows(self, values: Sequence[bytes]) -> pl.DataFrame:
        """Decode rows of the table as stored. Raises TableCorruptedError."""
        decoded = self._reader().decode(values)
        if decoded.errors:
            raise TableCorruptedError(
                f"a stored time entry cannot be read: {decoded.errors[0][1].detail}",
                hint="delete the worker's state directory: it is rebuilt from the state log",
            )
        return decoded.frame
