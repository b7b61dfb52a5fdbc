"""How many time entries a second one core normalises: decode, map, judge, encode, state.

Run: python -m bench.normalize [--records N] [--chunk N] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from connectors.systems import Systems
from schemas.codec.framing import frame
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from streams.agents.normalize import make_normalizer
from streams.engine import Chunk

TOPIC = "src.inhouse.time_entries"
EPOCH_DAY = 20_500


@dataclass
class MemoryState:
    """The state of a partition as a dictionary."""

    rows: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in self.rows.items() if key.startswith(prefix))


@dataclass(frozen=True)
class OneSchema:
    """A registry with one writer schema; every subject has the same id."""

    writer: AvroSchema

    def schema(self, schema_id: int) -> AvroSchema:
        return self.writer

    def subject_id(self, subject: str, schema: str) -> int:
        return 1


def debezium_schema() -> AvroSchema:
    """A time entry as Debezium and the Avro converter write it by the shipped connector file."""
    date = {"type": "int", "connect.name": "io.debezium.time.Date"}
    columns: dict[str, object] = {
        "id": "long",
        "project_id": "long",
        "task_id": ["null", "long"],
        "worker_email": "string",
        "work_on": date,
        "hours": "string",
        "minutes": ["null", "int"],
        "is_billable": "boolean",
        "status": "string",
        "bill_rate": ["null", "string"],
        "cost_rate": ["null", "string"],
        "currency": ["null", "string"],
        "notes": ["null", "string"],
        "updated_at": "string",
    }
    source: dict[str, object] = {
        "version": "string",
        "connector": "string",
        "name": "string",
        "ts_ms": "long",
        "snapshot": ["null", "string"],
        "db": "string",
        "sequence": ["null", "string"],
        "schema": "string",
        "table": "string",
        "txId": ["null", "long"],
        "lsn": ["null", "long"],
        "xmin": ["null", "long"],
    }
    return load_schema(
        json.dumps(
            {
                "type": "record",
                "name": "Envelope",
                "namespace": "src.inhouse.time_entries",
                "fields": [
                    {"name": "before", "type": ["null", record("Value", columns)]},
                    {"name": "after", "type": ["null", "Value"]},
                    {"name": "source", "type": record("Source", source)},
                    {"name": "op", "type": "string"},
                    {"name": "ts_ms", "type": ["null", "long"]},
                ],
            }
        )
    )


def record(name: str, columns: dict[str, object]) -> dict[str, object]:
    fields = [{"name": column, "type": avro} for column, avro in columns.items()]
    return {"type": "record", "name": name, "fields": fields}


def captured(rng: random.Random, position: int, rows: int) -> dict[str, object]:
    """Return the envelope of a time entry that was changed, one of so many rows."""
    row_id = rng.randrange(rows)
    after = {
        "id": row_id,
        "project_id": row_id % 1_000,
        "task_id": row_id % 5_000,
        "worker_email": f"person{row_id % 800}@example.com",
        "work_on": EPOCH_DAY + row_id % 365,
        "hours": f"{Decimal(rng.randrange(1, 1_000)).scaleb(-2):f}",
        "minutes": None,
        "is_billable": rng.random() < 0.8,
        "status": rng.choice(("draft", "submitted", "approved")),
        "bill_rate": f"{Decimal(1_500_000 + row_id % 1_000).scaleb(-4):f}",
        "cost_rate": f"{Decimal(800_000 + row_id % 1_000).scaleb(-4):f}",
        "currency": "EUR",
        "notes": f"worked on ticket {row_id}",
        "updated_at": "2026-03-31T10:00:00.000000Z",
    }
    source = {
        "version": "3.3.1.Final",
        "connector": "postgresql",
        "name": "src",
        "ts_ms": 1_770_000_000_000,
        "snapshot": "false",
        "db": "inhouse_psa",
        "sequence": f'["{position}","{position}"]',
        "schema": "inhouse",
        "table": "time_entries",
        "txId": position,
        "lsn": position,
        "xmin": None,
    }
    return {"before": None, "after": after, "source": source, "op": "u", "ts_ms": 1}


def chunks(records: int, size: int, rows: int, schema: AvroSchema) -> list[Chunk]:
    rng, codec = random.Random(7), RecordCodec(schema)
    values = [frame(1, codec.encode(captured(rng, at, rows))) for at in range(records)]
    return [
        Chunk(
            TOPIC,
            0,
            at,
            at + len(part),
            range(at, at + len(part)),
            [1_770_000_000_000] * len(part),
            [b""] * len(part),
            part,
        )
        for at in range(0, records, size)
        for part in (values[at : at + size],)
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=200_000)
    arguments.add_argument("--chunk", type=int, default=20_000)
    arguments.add_argument("--profile", action="store_true")
    options = arguments.parse_args()
    schema = debezium_schema()
    mapping = next(each for each in Systems().read("inhouse").mappings if each.topic == TOPIC)
    normalize = make_normalizer(mapping, OneSchema(schema))
    todo = chunks(options.records, options.chunk, options.records // 2, schema)
    state, profiler = MemoryState(), cProfile.Profile()
    applied = refused = 0
    normalize(todo[0], MemoryState())  # first use compiles and fills caches
    wall, cpu = time.perf_counter(), time.process_time()
    for chunk in todo:
        if options.profile:
            profiler.enable()
        effects = normalize(chunk, state)
        profiler.disable()
        state.rows.update((key, value) for key, value in effects.state.items() if value)
        applied += effects.accounting.applied
        refused += effects.accounting.dead_lettered
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{options.records} time entries in chunks of {options.chunk}: {applied} applied, "
        f"{options.records / wall:,.0f}/s elapsed, {options.records / cpu:,.0f}/s of cpu time"
    )
    if refused:
        raise SystemExit(f"{refused} dead letters: what was timed is no normalizing")
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
