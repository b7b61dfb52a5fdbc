"""One broker for all systems: filled source topics, runs, and the comparison with the truth."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.canonical import RECORD, Record, canonical_records
from bench.changes import TIME_ENTRIES, Changes, DebeziumWriter
from bench.peers.peer import Job, Launch, Peer
from bench.processes import Processes
from runtime.kafka import KafkaSettings, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from sandbox.stack.settings import cache_dir_from
from schemas.codec.record import load_schema
from schemas.contracts import record_schema
from schemas.identity import resource_id
from schemas.routing import partition_of

PARTITIONS = 4
PROJECTS = 5_000
POLL_S = 0.05
MARKERS = 8  # at most so many ends of transactions follow the last record of a partition
DEADLINE_S = 600.0
AGREE_S = 10.0
SCHEMAS = Path(__file__).parent / "peers"

Totals = Mapping[str, Sequence[Decimal]]


@dataclass(frozen=True, slots=True)
class Source:
    """A filled topic and what its rows add up to."""

    topic: str
    records: int
    margins: Totals
    utilizations: Totals


@dataclass(frozen=True, slots=True)
class Run:
    """One run, from start to the last commit, all processes; `wrong` counts differing totals."""

    seconds: float
    cpu_seconds: float
    peak_rss_mb: int
    wrong: int


class Bench:
    """A running broker and registry, and the topics of the benchmark on it."""

    def __init__(self, bootstrap_servers: str, registry_url: str, folder: Path) -> None:
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap_servers)
        self.registry_url = registry_url
        self.registry = Registry(registry_url)
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self.cache = cache_dir_from(os.environ) / "bench"
        self.cache.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._sources: dict[tuple[str, int], Source] = {}
        self._asking: tuple[str, Consumer] | None = None
        self._waiting_for = ""
        self._offsets: object = None
        self._changed_at = 0.0

    def source(self, changes: int, work: str = "A") -> Source:
        """Return the source topic of a work with that many changes, filled the first time."""
        known = self._sources.get((work, changes))
        if known is None:
            known = self._sources[work, changes] = self._fill(changes, work)
        return known

    def _fill(self, count: int, work: str) -> Source:
        topic = f"bench-source-{work}-{count}"
        self.create_topics([topic])
        history = Changes(count, PROJECTS)
        if work == "A":
            schema_id = self.registry.register(f"{topic}-value", record_schema(RECORD))
            records = self.write(topic, canonical_records(history, schema_id, PARTITIONS))
        else:
            records = self.write(topic, self._envelopes(history))
        margins = {f"{project}|{month}|EUR": t for (project, month), t in history.margins().items()}
        weeks = {f"{who}|{week}": t for (who, week), t in history.utilizations().items()}
        print(f"{topic}: {records} records of {count} changes, {len(history.rows)} rows remain")
        return Source(topic, records, margins, weeks)

    def _envelopes(self, history: Changes) -> Iterator[Record]:
        """Yield the history as Debezium writes it, a tombstone behind each deletion."""
        writer = DebeziumWriter()
        for subject, schema in writer.subjects.items():
            writer.ids[subject] = self.registry.register(subject, schema)
        for position, change in enumerate(history, start=1):
            key = writer.key(TIME_ENTRIES, change.id)
            partition = partition_of(str(change.id), PARTITIONS)
            yield partition, key, writer.entry(change, position)
            if change.entry is None:
                yield partition, key, None

    def write(self, topic: str, records: Iterable[Record]) -> int:
        """Write records as fast as the broker takes them; return their number."""
        producer = make_producer(self.kafka, linger_ms=50, batch_size=1_000_000)
        count = 0
        for partition, key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key, partition)
                    break
                except BufferError:
                    producer.poll(0.1)
            count += 1
            if count % 5_000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0
        return count

    def create_topics(self, names: Sequence[str]) -> None:
        """Create topics of the benchmark, each with the same partitions."""
        for future in self.admin.create_topics(
            [NewTopic(n, PARTITIONS, 1) for n in names]
        ).values():
            future.result()

    def job(self, peer: Peer, source: Source, hold_ms: int | None = None) -> Job:
        """Make a run's group, output topics and folder."""
        group = f"bench-{_slug(peer.name)}-{uuid.uuid4().hex[:6]}"
        margin, utilization = f"{group}-margin", f"{group}-utilization"
        self.create_topics([margin, utilization])
        folder = self._folder / group
        folder.mkdir()
        return Job(
            bootstrap_servers=self.kafka.bootstrap_servers,
            registry_url=self.registry_url,
            group=group,
            source_topic=source.topic,
            margin_topic=margin,
            utilization_topic=utilization,
            partitions=PARTITIONS,
            changes=source.records,
            margin_schema_id=self._schema_id(margin, "margin"),
            utilization_schema_id=self._schema_id(utilization, "utilization"),
            folder=folder,
            hold_ms=hold_ms,
        )

    def _schema_id(self, topic: str, record: str) -> int:
        schema = load_schema((SCHEMAS / f"{record}.avsc").read_text())
        return self.registry.register(f"{topic}-value", schema)

    def run(self, peer: Peer, source: Source) -> Run:
        """Start the peer, wait until it has committed everything, compare what it published."""
        job = self.job(peer, source)
        launch = peer.launch(job, self.cache)
        began = time.monotonic()
        with Processes(launch, job.folder) as processes:
            seconds = self.await_done(job, launch, processes, began) - began
            cpu_seconds = processes.cpu_seconds()
            wrong = 0 if peer.is_ceiling else self._differences(job, source)
        shutil.rmtree(job.folder, ignore_errors=True)
        return Run(seconds, cpu_seconds, processes.peak_rss_mb, wrong)

    def await_done(self, job: Job, launch: Launch, processes: Processes, began: float) -> float:
        """Wait until all is done; return when that was."""
        while True:
            is_done = self._is_drained(job, launch) if launch.drained else processes.are_done()
            processes.check(may_end=not launch.drained)
            if is_done:
                # To make sure may have taken longer than the last commit did.
                return self._changed_at if launch.drained else time.monotonic()
            if time.monotonic() - began > DEADLINE_S:
                raise TimeoutError(f"not done after {DEADLINE_S:.0f} s: {self._waiting_for}")
            time.sleep(POLL_S)

    def _is_drained(self, job: Job, launch: Launch) -> bool:
        """Whether the group has committed the end of every topic of `launch.drained`."""
        wanted = [TopicPartition(t, p) for t in launch.drained for p in range(job.partitions)]
        try:
            found = self._group(job.group).committed(wanted, timeout=10)
            at = {(each.topic, each.partition): each.offset for each in found}
            # The source first: a topic rows are moved through ends where it ends after that.
            specs = {each: OffsetSpec.latest() for each in wanted}
            ends = self.admin.list_offsets(specs, isolation_level=IsolationLevel.READ_UNCOMMITTED)
            behind = []
            found_ends = {each: future.result(10).offset for each, future in ends.items()}
            if (at, found_ends) != self._offsets:
                self._offsets, self._changed_at = (at, found_ends), time.monotonic()
            for each, end in found_ends.items():
                committed = max(at.get((each.topic, each.partition), 0), 0)
                if end - committed > MARKERS:
                    self._waiting_for = f"{each.topic}/{each.partition} is at {committed} of {end}"
                    return False
                if committed < end:
                    behind.append((TopicPartition(each.topic, each.partition, committed), end))
            return not behind or self._are_markers(behind)
        except KafkaException as error:  # the group or a topic does not exist yet
            self._waiting_for = str(error)
            # The client remembers a topic as unknown for as long as it is asked so often.
            self.admin.list_topics(timeout=10)
            return False

    def _group(self, group: str) -> Consumer:
        """Return a consumer that asks for the group's offsets and does not join it."""
        if self._asking is None or self._asking[0] != group:
            if self._asking is not None:
                self._asking[1].close()
            self._asking = group, Consumer({**self.kafka.client(), "group.id": group})
        return self._asking[1]

    def _are_markers(self, behind: Sequence[tuple[TopicPartition, int]]) -> bool:
        """Whether no record, only ends of transactions, lies from the offsets to the ends.

        Who commits the offset after its last record never commits the marker that follows it.
        """
        consumer = self._reader()
        ends = {(each.topic, each.partition): end for each, end in behind}
        consumer.assign([each for each, _ in behind])
        try:
            while ends:
                for message in consumer.consume(len(ends), 1.0):
                    error = message.error()
                    if error is None:
                        return False
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    if message.offset() < ends.pop((message.topic(), message.partition())):
                        return False  # a transaction is open
            return True
        finally:
            consumer.close()

    def _reader(self) -> Consumer:
        return Consumer(
            {
                **self.kafka.client(),
                "group.id": "bench-truth",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )

    def _differences(self, job: Job, source: Source) -> int:
        deadline = time.monotonic() + AGREE_S
        while True:
            wrong = _differing(
                self.published(job.margin_topic, ("hours", "revenue", "cost")), source.margins
            ) + _differing(
                by_resource(
                    self.published(job.utilization_topic, ("billable_hours", "total_hours"))
                ),
                by_resource(source.utilizations),
            )
            if not wrong or time.monotonic() > deadline:
                return wrong

    def published(self, topic: str, fields: Sequence[str]) -> dict[str, tuple[Decimal, ...]]:
        """Return the last committed total of each key; zeros and tombstones are left out."""
        consumer = self._reader()
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        last: dict[bytes, bytes | None] = {}
        ended = 0
        while ended < PARTITIONS:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    last[message.key()] = message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended += 1
                else:
                    raise KafkaException(error)
        consumer.close()
        serde = Serde(self.registry)
        shown = {}
        for key, value in last.items():
            record = serde.read(value) if value else {}
            total = tuple(Decimal(record.get(field) or 0) for field in fields)
            if any(total):
                shown[key.decode()] = total
        return shown


def by_resource(totals: Totals) -> Totals:
    """Return totals of people's weeks by canonical resource id, whichever name a system uses."""
    named: dict[str, Sequence[Decimal]] = {}
    for key, total in totals.items():
        person, _, week = key.partition("|")
        named[f"{resource_id(person) if '@' in person else person}|{week}"] = total
    return named


def _differing(shown: Totals, truth: Totals) -> int:
    wrong = [
        key for key in shown.keys() | truth.keys() if not _same(shown.get(key), truth.get(key))
    ]
    for key in sorted(wrong)[:3]:
        print(f"  wrong {key}: {shown.get(key)} instead of {truth.get(key)}", file=sys.stderr)
    return len(wrong)


def _same(shown: Sequence[Decimal] | None, truth: Sequence[Decimal] | None) -> bool:
    if truth is not None and not any(truth):
        truth = None
    return shown == truth if shown is None or truth is None else list(shown) == list(truth)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())
