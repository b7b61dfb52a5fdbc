"""Rows a second into the read model: filled from the beginning, then every row once more.

`python -m bench.read_model --rows 500000`. Rows are time entries, 17 columns, on 4 partitions;
what is measured goes from the topic to the commit in PostgreSQL. Every row is counted at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl
import psutil

from psastream.query.session import dtypes_of
from psastream.read_model.following import fill, follow, layout_of
from psastream.read_model.landing import landing_tables
from psastream.read_model.metrics import ReadModelMetrics
from psastream.read_model.store import Generation, Store
from runtime.kafka import KafkaSettings, create_topics, make_producer
from runtime.registry import Registry
from sandbox.stack.postgres import READ_MODEL
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.codec.columnar import ChunkEncoder
from schemas.codec.framing import header
from schemas.contracts import value_schema
from schemas.keys import KEY_SCHEMA, encode_keys
from schemas.topics import PRODUCT_TOPICS

TOPIC: Final = "psa.time_entry"
PROJECTS: Final = 5_000
CHUNK: Final = 50_000


class Bench:
    """A broker with a filled topic, and a read model."""

    def __init__(self, stack: Stack, rows: int) -> None:
        addresses = stack.addresses
        self._kafka = KafkaSettings(bootstrap_servers=addresses.bootstrap_servers)
        self._registry = Registry(addresses.registry_url)
        self._url = addresses.postgres_dsn.rpartition("/")[0] + f"/{READ_MODEL}"
        self._tables = landing_tables(PRODUCT_TOPICS)
        self._metrics = ReadModelMetrics()
        self._rows = rows
        self._postgres = psutil.Process(stack.pid(Part.POSTGRES))
        topics = [table.topic for table in self._tables]
        create_topics(self._kafka, topics, replication_factor=1)
        self._registry.register_catalogue(topics)

    def write(self, revision: int) -> None:
        """Write every row to the topic, under the same keys each time."""
        [topic] = [table.topic for table in self._tables if table.topic.name == TOPIC]
        schema = value_schema(topic)
        encoder = ChunkEncoder(schema)
        value_id = self._registry.subject_id(f"{TOPIC}-value", schema.text)
        key_id = self._registry.subject_id(f"{TOPIC}-key", KEY_SCHEMA)
        producer = make_producer(self._kafka, linger_ms=50, queue_buffering_max_messages=1_000_000)
        for start in range(0, self._rows, CHUNK):
            numbers = range(start, min(start + CHUNK, self._rows))
            frame = _entries(numbers, revision).match_to_schema(dtypes_of(topic))
            keys = encode_keys(key_id, [f"pr-{each % PROJECTS}|te-{each}" for each in numbers])
            values = encoder.encode(frame, prefix=header(value_id))
            for number, key, value in zip(numbers, keys, values, strict=True):
                producer.produce(TOPIC, value, key, number % PROJECTS % topic.partitions)
            producer.flush()

    def fill(self) -> Generation:
        """Fill an empty read model, and say how fast."""
        with closing(Store(self._url)) as store:
            store.migrate()
            began, used = time.monotonic(), self._used_s()
            filled = fill(
                store,
                self._kafka,
                self._tables,
                layout_of(self._kafka, self._tables),
                self._registry.schema,
                metrics=self._metrics,
            )
            self._say("filled from the beginning", began, used)
            assert filled is not None
            assert store.counts(filled, self._tables)[TOPIC] == self._rows
            return filled

    def follow(self, generation: Generation) -> None:
        """Write every row again, which is there, and say how fast."""
        done = threading.Event()
        with closing(Store(self._url)) as store:
            began, used = time.monotonic(), self._used_s()
            follow(
                store,
                generation,
                self._kafka,
                self._tables,
                self._registry.schema,
                metrics=self._metrics,
                is_wanted=lambda: not done.is_set(),
                beat=lambda is_caught_up: done.set() if is_caught_up else None,
            )
            self._say("every row once more", began, used)
            place = f'{generation.schema}."time_entry"'
            [count] = store.connection.execute(
                f"SELECT count(*) FROM {place} WHERE source_position = 2"
            ).fetchone() or (0,)
            assert count == self._rows

    def _say(self, what: str, began_s: float, used: tuple[float, float]) -> None:
        seconds = time.monotonic() - began_s
        ours, theirs = (now - before for now, before in zip(self._used_s(), used, strict=True))
        print(
            f"{what}: {self._rows:,} rows in {seconds:.1f} s, {self._rows / seconds:,.0f} rows/s;"
            f" processor {ours:.1f} s ours, {theirs:.1f} s PostgreSQL;"
            f" load {os.getloadavg()[0]:.1f}",
            flush=True,
        )

    def _used_s(self) -> tuple[float, float]:
        """Processor seconds of this process, and of PostgreSQL with sessions that have ended."""
        theirs = self._postgres.cpu_times()
        total = theirs.user + theirs.system + theirs.children_user + theirs.children_system
        for child in self._postgres.children():
            total += sum(child.cpu_times()[:2])
        return time.process_time(), total


def _entries(numbers: range, revision: int) -> pl.DataFrame:
    count = len(numbers)
    return pl.DataFrame(
        {
            "id": [f"te-{each}" for each in numbers],
            "project_ref": [f"pr-{each % PROJECTS}" for each in numbers],
            "task_ref": [f"task-{each % 7}" for each in numbers],
            "resource_id": [f"res-{each % 300}" for each in numbers],
            "work_on": [date(2026, 3, 1 + each % 28) for each in numbers],
            "hours": pl.Series([Decimal("7.50")] * count, dtype=pl.Decimal(9, 2)),
            "seconds": [27_000] * count,
            "bill_rate": pl.Series([Decimal("120.5000")] * count, dtype=pl.Decimal(18, 4)),
            "cost_rate": pl.Series([Decimal("55.1234")] * count, dtype=pl.Decimal(18, 4)),
            "currency": ["EUR"] * count,
            "status": ["approved"] * count,
            "is_billable": [True] * count,
            "notes": pl.Series([None] * count, dtype=pl.String),
            "source_position": [revision] * count,
            "source_at": pl.Series(
                [datetime(2026, 3, 1, 8, tzinfo=UTC)] * count, dtype=pl.Datetime("ms", "UTC")
            ),
            "correlation_id": [f"corr-{each}" for each in numbers],
        }
    )


async def main(rows: int) -> None:
    """Start a broker, a registry and a PostgreSQL, and measure."""
    with tempfile.TemporaryDirectory(prefix="psastream-bench-") as directory:
        settings = StackSettings(
            data_dir=Path(directory),
            cache_dir=cache_dir_from(os.environ),
            parts=frozenset({Part.KAFKA, Part.REGISTRY, Part.POSTGRES}),
            quick_start=False,
        )
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            bench = await asyncio.to_thread(Bench, stack, rows)
            await asyncio.to_thread(bench.write, 1)
            generation = await asyncio.to_thread(bench.fill)
            await asyncio.to_thread(bench.write, 2)
            await asyncio.to_thread(bench.follow, generation)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    asyncio.run(main(parser.parse_args().rows))
