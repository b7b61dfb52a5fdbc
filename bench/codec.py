"""Rates of the chunk codec beside fastavro's, on time entries, in one run.

python bench/codec.py [records]
"""

import itertools
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from schemas.codec.columnar import ChunkDecoder, ChunkEncoder, ChunkReader
from schemas.codec.framing import HEADER_BYTES, header
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.envelope import envelope_schema

HEADER = header(1)
REPEATS = 5


def time_entry_schema() -> AvroSchema:
    """Twelve fields as a psa topic has them, all nullable."""

    def decimal(precision: int, scale: int) -> dict[str, Any]:
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}

    types: dict[str, Any] = {
        "id": "string",
        "project_id": "string",
        "resource_id": "string",
        "work_on": {"type": "int", "logicalType": "date"},
        "hours": decimal(9, 2),
        "bill_rate": decimal(18, 4),
        "cost_rate": decimal(18, 4),
        "currency": "string",
        "status": {"type": "enum", "name": "Status", "symbols": ["DRAFT", "APPROVED", "INVOICED"]},
        "is_billable": "boolean",
        "changed_at": {"type": "long", "logicalType": "timestamp-millis"},
        "correlation_id": "string",
    }
    fields: list[Any] = [
        {"name": name, "type": ["null", avro], "default": None} for name, avro in types.items()
    ]
    return load_schema(
        {"type": "record", "name": "TimeEntry", "namespace": "psa", "fields": fields}
    )


def time_entries(count: int) -> list[dict[str, Any]]:
    chance = random.Random(1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "id": f"TE-{number // 2:08d}",
            "project_id": f"PRJ-{chance.randrange(5000):05d}",
            "resource_id": f"R-{chance.randrange(2000):04d}",
            "work_on": date(2026, 1, 1 + chance.randrange(28)),
            "hours": Decimal(chance.randrange(-100, 1200)).scaleb(-2),
            "bill_rate": Decimal(chance.randrange(10**6, 3 * 10**6)).scaleb(-4),
            "cost_rate": Decimal(chance.randrange(4 * 10**5, 10**6)).scaleb(-4),
            "currency": "USD",
            "status": chance.choice(["DRAFT", "APPROVED", "INVOICED"]),
            "is_billable": chance.random() < 0.8,
            "changed_at": start + timedelta(seconds=number),
            "correlation_id": None if number % 2 else f"c-{number}",
        }
        for number in range(count)
    ]


def envelopes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    source = {"version": "1", "connector": "c", "name": "n", "ts_ms": 1, "db": "d", "table": "t"}
    return [
        {"before": before, "after": after, "source": source, "op": "u", "ts_ms": 2}
        for before, after in itertools.pairwise(rows)
    ]


def rate(count: int, work: Callable[[], object]) -> float:
    """Records a second of the best of a few runs."""
    best_s = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - started)
    return count / best_s


def report(name: str, schema: AvroSchema, rows: list[dict[str, Any]]) -> None:
    codec = RecordCodec(schema)
    decoder, encoder = ChunkDecoder(schema), ChunkEncoder(schema)
    reader = ChunkReader(lambda _: schema)
    values: list[bytes] = [HEADER + codec.encode(row) for row in rows]
    frame = decoder.decode(values)
    assert encoder.encode(frame, prefix=HEADER) == values
    broken: list[bytes | None] = [*values]
    broken[len(values) // 3] = values[0][:-1]
    measured: dict[str, Callable[[], object]] = {
        "fastavro decode": lambda: [codec.decode(value[HEADER_BYTES:]) for value in values],
        "chunk decode": lambda: decoder.decode(values),
        "chunk reader": lambda: reader.decode(values),
        "chunk reader, one record broken": lambda: reader.decode(broken),
        "fastavro encode": lambda: [HEADER + codec.encode(row) for row in rows],
        f"chunk encode{'' if encoder.native else ' (fallback)'}": lambda: encoder.encode(
            frame, prefix=HEADER
        ),
    }
    print(f"{name}: {len(values):,} records, {len(values[0])} bytes each")
    for label, work in measured.items():
        print(f"  {label:34s}{rate(len(values), work):12,.0f} records/s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    entries = time_entries(count)
    report("time entries", time_entry_schema(), entries)
    report("time entries in envelopes", envelope_schema(time_entry_schema()), envelopes(entries))


if __name__ == "__main__":
    main()
