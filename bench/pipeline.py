"""From Debezium envelopes through mapping and the canonical topic to the margin topic.

Starts a broker and a registry, fills the source topics, starts ONE worker, and times it from its
first committed offset until everything is committed. The margin topic is then compared with what
the rows add up to: a wrong result fails the run and has no time.

Run: make bench-pipeline CHANGES=500000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bench.changes import PROJECTS, TIME_ENTRIES, Changes, DebeziumWriter
from psastream.landscape import ANY_ADDRESSES, read_firm
from psastream.worker import APP_ID
from runtime.kafka import KafkaSettings, create_topics, make_consumer, make_producer, read_compacted
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, StackSettings, cache_dir_from
from sandbox.stack.supervisor import Stack
from schemas.routing import partition_of
from schemas.topics import PARTITIONS

STAGES = (TIME_ENTRIES, PROJECTS, "psa.time_entry", "psa.project")
POLL_S = 0.05
DEADLINE_S = 900.0


async def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=500_000)
    parser.add_argument("--projects", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=Path("bench/results/pipeline.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="psastream-bench-"))
    settings = StackSettings(
        data_dir=folder,
        cache_dir=cache_dir_from(os.environ),
        parts=frozenset({Part.KAFKA, Part.REGISTRY}),
        kafka_heap_mb=1024,
        quick_start=False,
    )
    try:
        async with Stack(settings, PlainReporter(sys.stderr)) as stack:
            return await _measure(stack, arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(stack: Stack, arguments: argparse.Namespace, folder: Path) -> int:
    kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
    registry = Registry(stack.addresses.registry_url)
    topics = read_firm(Settings.from_env(ANY_ADDRESSES)).topics
    create_topics(kafka, topics, replication_factor=1)
    registry.register_catalogue(topics)
    changes = Changes(arguments.changes, arguments.projects)
    await asyncio.to_thread(_fill, kafka, registry, changes, arguments.projects)
    print(f"{arguments.changes} changes of {len(changes.rows)} live rows wait in {TIME_ENTRIES}")
    environment = {
        "PSASTREAM_BOOTSTRAP_SERVERS": stack.addresses.bootstrap_servers,
        "PSASTREAM_REGISTRY_URL": stack.addresses.registry_url,
        "PSASTREAM_DATA_DIR": str(folder / "worker"),
        "PSASTREAM_REPLICATION_FACTOR": "1",
    }
    worker = await stack.start_process(
        "worker", [sys.executable, "-m", "psastream", "worker"], env=environment, health=None
    )
    seconds = await asyncio.to_thread(_drain, kafka)
    memory_mb = _peak_rss_mb(worker.pid or 0)
    wrong = _compare(kafka, registry, changes)
    result = {
        "work": "debezium to margin",
        "system": "psastream, one worker",
        "changes": arguments.changes,
        "seconds": round(seconds, 2),
        "changes_per_second": round(arguments.changes / seconds),
        "correct": wrong == 0,
        "peak_rss_mb": memory_mb,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps([result], indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if wrong == 0 else 1


def _fill(kafka: KafkaSettings, registry: Registry, changes: Changes, projects: int) -> None:
    writer = DebeziumWriter()
    for subject, schema in writer.subjects.items():
        writer.ids[subject] = registry.register(subject, schema)
    producer = make_producer(kafka, linger_ms=50, batch_size=1_000_000)
    for number in range(projects):
        key = writer.key(PROJECTS, number)
        producer.produce(PROJECTS, writer.project(number), key, number % PARTITIONS)
    for position, change in enumerate(changes, start=1):
        key = writer.key(TIME_ENTRIES, change.id)
        partition = partition_of(str(change.id), PARTITIONS)
        while True:
            try:
                producer.produce(TIME_ENTRIES, writer.entry(change, position), key, partition)
                break
            except BufferError:
                producer.poll(0.1)
        if position % 5_000 == 0:
            producer.poll(0)
    producer.flush()


def _drain(kafka: KafkaSettings) -> float:
    """Return the seconds from the worker's first committed offset until all are committed."""
    # A commit shows in the group's offsets before its markers reach every partition, so the end
    # of a topic is where records end, not where committed ones do.
    reader = make_consumer(kafka, f"{APP_ID}-bench", isolation_level="read_uncommitted")
    group = Consumer({**kafka.client(), "group.id": APP_ID})
    first = None
    deadline = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            done = [_committed(group, topic) for topic in STAGES]
            if first is None and done[0] > 0:
                first = time.monotonic()
            if first is not None and all(
                position >= _end(reader, topic)
                for position, topic in zip(done, STAGES, strict=True)
            ):
                return time.monotonic() - first
            time.sleep(POLL_S)
    finally:
        reader.close()
        group.close()
    raise TimeoutError(f"the worker was not done after {DEADLINE_S} s")


def _committed(group: Consumer, topic: str) -> int:
    wanted = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    return sum(max(0, each.offset) for each in group.committed(wanted, timeout=10))


def _end(reader: Consumer, topic: str) -> int:
    return sum(
        reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
        for number in range(PARTITIONS)
    )


def _peak_rss_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def _compare(kafka: KafkaSettings, registry: Registry, changes: Changes) -> int:
    """Return how many keys of the margin topic differ from the truth."""
    serde = Serde(registry)
    shown: dict[tuple[str, str], tuple[Decimal, Decimal, Decimal]] = {}
    for value in read_compacted(kafka, "psa.metric.project_margin").values():
        row = serde.read(value)
        shown[row["project_ref"], row["period"]] = (row["hours"], row["revenue"], row["cost"])
    letters = [serde.read(value) for value in read_compacted(kafka, "psa.dlq").values()]
    for letter in letters[:3]:
        print(f"dead letter of {letter['topic']}: {letter['detail']}", file=sys.stderr)
    truth = changes.margins()
    wrong = [key for key in truth.keys() | shown.keys() if truth.get(key) != shown.get(key)]
    for key in sorted(wrong)[:5]:
        print(f"wrong {key}: {shown.get(key)} instead of {truth.get(key)}", file=sys.stderr)
    print(f"{len(truth)} margins compared, {len(wrong)} wrong")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
