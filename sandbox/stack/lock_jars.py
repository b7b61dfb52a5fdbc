"""Writes `jars.lock`, `lake.lock`, `databases.lock`: `python -m sandbox.stack.lock_jars`, after a
change of a version below.

A maintainer's tool; running the stack never resolves anything.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sandbox.stack.packages import import_package

KAFKA_VERSION = "4.1.1"
DEBEZIUM_VERSION = "3.3.1.Final"
ICEBERG_VERSION = "1.12.0"
KAFKA_ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-json:{KAFKA_VERSION}",
    # Where Kafka's log lines go; without it they are dropped.
    "org.slf4j:slf4j-simple:1.7.36",
)
DEBEZIUM_ROOT = f"io.debezium:debezium-connector-postgres:{DEBEZIUM_VERSION}"
DATABASE_ROOTS = tuple(
    f"io.debezium:debezium-connector-{database}:{DEBEZIUM_VERSION}"
    for database in ("mysql", "sqlserver", "oracle")
)
# Oracle's connector also names caches of transactions, which nobody here configures, and a driver
# that only those may pass on who took Oracle's licence.
DATABASE_ORGANISATIONS = (
    "com.fasterxml.jackson.datatype",
    "com.microsoft.sqlserver",
    "com.mysql",
    "io.debezium",
    "org.antlr",
)
LAKE_ROOTS = (
    # Of several versions the nearest is taken, and Parquet's Avro is too old for Iceberg.
    "org.apache.avro:avro:1.12.2",
    f"org.apache.iceberg:iceberg-kafka-connect:{ICEBERG_VERSION}",
    f"org.apache.iceberg:iceberg-kafka-connect-transforms:{ICEBERG_VERSION}",
    f"org.apache.iceberg:iceberg-parquet:{ICEBERG_VERSION}",
    # Files of a disk or of HDFS; earlier versions ask Java 25 for what it no longer has.
    "org.apache.hadoop:hadoop-client-runtime:3.5.0",
    "org.postgresql:postgresql:42.7.7",
)

HEADER = """\
# {what} Written by `python -m sandbox.stack.lock_jars`; do not edit.
# class path, organisation:artifact:version, sha256
"""


def resolve(roots: Iterable[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """(organisation, artifact) -> (version, sha256) of `roots` and all they need at run time."""
    artifacts = import_package("jgo").resolve("+".join(roots))
    return {
        (artifact.groupId, artifact.artifactId): (
            artifact.version,
            hashlib.sha256(artifact.resolve().read_bytes()).hexdigest(),
        )
        for artifact in artifacts
    }


def lock_texts() -> dict[str, str]:
    """The text of each lock by the name of its file."""
    kafka = resolve(KAFKA_ROOTS)
    # Connect offers its own libraries to a plugin, which therefore carries only the rest.
    # A lock names no classifiers, which ORC's jars have; tables are of Parquet.
    debezium, lake = (
        {
            key: value
            for key, value in resolve(roots).items()
            if key not in kafka and key[0] != "org.apache.orc"
        }
        for roots in ([DEBEZIUM_ROOT], LAKE_ROOTS)
    )
    databases = {
        key: value
        for key, value in resolve(DATABASE_ROOTS).items()
        if key not in kafka and key[0] in DATABASE_ORGANISATIONS
    }
    return {
        "jars.lock": _text("Jars of the embedded stack.", kafka=kafka, debezium=debezium),
        "lake.lock": _text("Jars of the plugin that writes Iceberg tables.", lake=lake),
        "databases.lock": _text(
            "Jars of Debezium's plugins of other databases, for tests.", databases=databases
        ),
    }


def _text(what: str, **groups: dict[tuple[str, str], tuple[str, str]]) -> str:
    lines = [
        f"{group} {organisation}:{artifact}:{version} {sha256}"
        for group, jars in groups.items()
        for (organisation, artifact), (version, sha256) in sorted(jars.items())
    ]
    return HEADER.format(what=what) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, text in lock_texts().items():
        Path(__file__).with_name(name).write_text(text)
