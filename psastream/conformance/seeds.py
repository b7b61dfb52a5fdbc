"""Rows of other tables that a row looks up, made of their samples."""

from __future__ import annotations

from psastream.conformance.bench import Sample
from psastream.conformance.databases import DatabaseBench
from psastream.conformance.debezium import Row


def seed(bench: DatabaseBench, row: Row, sample: Sample | None = None) -> None:
    """Write what a row looks up: what a sample finds, by default the first."""
    found = sample or bench.subject.samples[bench.table][0]
    objects = bench.subject.system.objects
    for name, lookup in objects[bench.table].lookups.items():
        if name not in found.finds:
            continue
        keys = bench.subject.database.tables[lookup.object].key
        other = {**bench.subject.samples[lookup.object][0].row, **found.finds[name]}
        if lookup.by is not None:
            other |= dict(zip(keys, (row[column] for column in lookup.by), strict=True))
        if lookup.closure is not None:
            other[lookup.closure] = None
        if lookup.reverse is not None:
            other[lookup.reverse] = row[bench.documented.key[0]]
        bench.write(other, table=lookup.object)
