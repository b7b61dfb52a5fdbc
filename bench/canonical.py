"""Time-entry changes as canonical records, the source of work A (`bench/peers/README.md`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import polars as pl

from bench.changes import FIRST_DAY, Change, Entry, person_id, project_id
from schemas.codec.columnar import ChunkEncoder, frame_dtypes
from schemas.codec.framing import header
from schemas.contracts import record_schema
from schemas.routing import partition_of

RECORD = "canonical/time_entry"
BATCH = 50_000
SOURCE_AT = datetime(2026, 6, 30, 10, tzinfo=UTC)

Record = tuple[int, bytes, bytes | None]
"""Partition, key, value."""

KeyOf = Callable[[int, int], bytes]
"""Key of a row from the numbers of its project and entry."""


def row_key(project: int, entry: int) -> bytes:
    """Return the key that work A gives to a row: a row that moves has another one."""
    return f"{project_id(project)}|{entry_id(entry)}".encode()


def entry_id(number: int) -> str:
    """Return the source id of a time entry."""
    return f"inhouse:time_entry:{number}"


def canonical_records(
    changes: Iterable[Change], schema_id: int, partitions: int, key_of: KeyOf = row_key
) -> Iterator[Record]:
    """Yield the records of a history in order; a move is a tombstone and a new row."""
    encoder = ChunkEncoder(record_schema(RECORD))
    dtypes = frame_dtypes(record_schema(RECORD))
    prefix = header(schema_id)
    projects: dict[int, int] = {}
    numbered = enumerate(changes, start=1)
    while batch := list(itertools.islice(numbered, BATCH)):
        values = iter(
            _encoded([(at, c.entry) for at, c in batch if c.entry], dtypes, encoder, prefix)
        )
        for _, change in batch:
            old = projects.pop(change.id, None)
            entry = change.entry
            if old is not None and (entry is None or entry.project != old):
                yield partition_of(project_id(old), partitions), key_of(old, change.id), None
            if entry is not None:
                projects[change.id] = entry.project
                partition = partition_of(project_id(entry.project), partitions)
                yield partition, key_of(entry.project, entry.id), next(values)


def _encoded(
    rows: list[tuple[int, Entry]],
    dtypes: dict[str, pl.DataType],
    encoder: ChunkEncoder,
    prefix: bytes,
) -> list[bytes]:
    """Return one framed value a row; the position in the history is the source position."""
    columns: dict[str, list[object]] = {
        "id": [entry_id(entry.id) for _, entry in rows],
        "project_ref": [project_id(entry.project) for _, entry in rows],
        "task_ref": [f"inhouse:task:{entry.project * 10}" for _, entry in rows],
        "resource_id": [person_id(entry.person) for _, entry in rows],
        "currency": ["EUR"] * len(rows),
        "status": [entry.status for _, entry in rows],
        "is_billable": [entry.is_billable for _, entry in rows],
        "notes": ["worked on the ticket"] * len(rows),
        "source_position": [at for at, _ in rows],
        "source_at": [SOURCE_AT] * len(rows),
    }
    frame = pl.DataFrame(columns, schema={name: dtypes[name] for name in columns})
    numbers = pl.DataFrame(
        {
            "work_on": [entry.day for _, entry in rows],
            "hours": [entry.hours for _, entry in rows],
            "bill_rate": [entry.bill_rate for _, entry in rows],
            "cost_rate": [entry.cost_rate for _, entry in rows],
        },
        schema=dict.fromkeys(("work_on", "hours", "bill_rate", "cost_rate"), pl.Int64),
    )
    first = (FIRST_DAY - datetime.fromtimestamp(0, UTC).date()).days
    frame = frame.with_columns(
        (numbers["work_on"] + first).cast(pl.Int32).cast(pl.Date).alias("work_on"),
        *(
            (numbers[name].cast(pl.Decimal(38, 0)) * scale_one(scale))
            .cast(dtypes[name])
            .alias(name)
            for name, scale in (("hours", 2), ("bill_rate", 4), ("cost_rate", 4))
        ),
    )
    return encoder.encode(frame, prefix=prefix)


def scale_one(scale: int) -> pl.Series:
    """Return the decimal one of the last place at `scale`."""
    return pl.Series([f"0.{'1'.rjust(scale, '0')}"]).cast(pl.Decimal(38, scale))
