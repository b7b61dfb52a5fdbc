"""Handlers of low-volume topics: one record at a time into a table.

What a record does is in the table; here it is decoded, refused with a dead letter where it cannot
be read, applied, and what the table wants published is encoded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from schemas.codec.columnar import ChunkReader
from schemas.contracts import record_schema
from schemas.errors import RecordError
from schemas.exact import FEW
from schemas.keys import decode_key
from schemas.mapping.compiled import Rejection
from schemas.topics import BY_NAME, Topic
from streams.agents.dead_letters import Refusal, dead_letters
from streams.agents.open_exceptions import kept
from streams.agents.publish import Publisher
from streams.agents.registry import SchemaSource
from streams.engine import Accounting, Chunk, ChunkHandler, Effects, State
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox, Tally
from tables.foundation.facts import Fact

Table = TypeVar("Table")
Kind = TypeVar("Kind", bound=Fact)

Open = Callable[[Documents, Outbox, int], Table]
Apply = Callable[[Table, str, Kind | None, int], str | None]
Close = Callable[[Table, int], None]

INVALID: Final = "record.invalid_entity"


class RecordHandlers(Generic[Table]):
    """Makes the handlers of one group's topics.

    `open_table` opens the table for a chunk of a partition, `close` runs once, last, with the
    timestamp of the chunk's last record. `topics` are those it publishes to that are not the
    product's. Up to `few` rows are made one after the other, more as columns.
    """

    def __init__(
        self,
        group: str,
        registry: SchemaSource,
        open_table: Open[Table],
        close: Close[Table] | None = None,
        topics: Mapping[str, Topic] | None = None,
        *,
        few: int = FEW,
    ) -> None:
        self.group = group
        self.registry = registry
        self.publisher = Publisher(registry, topics, few=few)
        self.few = few
        self.open_table = open_table
        self.close = close

    def __call__(self, fact: type[Kind], apply: Apply[Table, Kind]) -> ChunkHandler:
        """Return the handler of a topic whose records are `fact`s.

        `apply` returns `applied`, `stale` or `parked` (None: applied). It may raise a RecordError
        before it changes anything: the record becomes a dead letter.
        """
        return _RecordHandler(self, fact, apply)


class _RecordHandler(Generic[Table, Kind]):
    """A chunk handler that applies records one by one."""

    def __init__(
        self, group: RecordHandlers[Table], fact: type[Kind], apply: Apply[Table, Kind]
    ) -> None:
        self._group = group
        self._fact = fact
        self._apply = apply
        self._readers = threading.local()  # a reader serves one thread at a time

    def __call__(self, chunk: Chunk, state: State) -> Effects:
        """Apply a chunk. Raises RegistryUnavailableError where the registry does not answer."""
        documents, outbox, tally = Documents(state), Outbox(few=self._group.few), Tally()
        table = self._group.open_table(documents, outbox, chunk.partition)
        topic = BY_NAME[chunk.topic]
        decoded = self._reader(chunk.topic).decode(chunk.values)
        rows = dict(zip(decoded.rows, decoded.frame.to_dicts(), strict=True))
        refusals = [Refusal(index, rejection(error)) for index, error in decoded.errors]
        unreadable = {refusal.index for refusal in refusals}
        for index, timestamp_ms in enumerate(chunk.timestamps_ms):
            if index in unreadable:
                continue
            row = rows.get(index)
            try:
                key = topic.row_id(decode_key(chunk.keys[index] or b""))
                fact = None if row is None else self._fact.model_validate(row)
            except (RecordError, ValidationError) as error:
                refusals.append(Refusal(index, rejection(error)))
                continue
            try:
                outcome = self._apply(table, key, fact, timestamp_ms)
            except RecordError as error:  # before it has changed anything
                refusals.append(Refusal(index, rejection(error)))
                continue
            tally.count(outcome or "applied")
        if self._group.close is not None and len(chunk):
            self._group.close(table, chunk.timestamps_ms[-1])
        letters = dead_letters(chunk, refusals, agent=self._group.group, ids=self._group.registry)
        return Effects(
            state={**documents.changes(), **kept(outbox)},
            outputs=[*self._group.publisher.outputs(outbox), *letters],
            accounting=Accounting(tally.applied, tally.stale, tally.parked, len(refusals)),
        )

    def _reader(self, topic: str) -> ChunkReader:
        """Reads any version of the topic's contract as this one, several in one chunk too."""
        readers: dict[str, ChunkReader] = self._readers.__dict__
        if topic not in readers:
            contract = BY_NAME[topic].record
            schema = None if contract is None else record_schema(contract)
            readers[topic] = ChunkReader(self._group.registry.schema, reader=schema)
        return readers[topic]


def rejection(error: RecordError | ValidationError) -> Rejection:
    """Return why a record was refused, for its dead letter; no values, which may be personal."""
    if isinstance(error, RecordError):
        return Rejection(error.code, error.detail, error.hint)
    fields = ", ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['type']}"
        for item in error.errors(include_input=False)
    )
    return Rejection(INVALID, f"the record breaks the table's contract: {fields}", "fix the source")
