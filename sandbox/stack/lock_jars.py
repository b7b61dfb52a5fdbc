"""Writes `jars.lock`: `python -m sandbox.stack.lock_jars`, after a change of a version below.

A maintainer's tool; running the stack never resolves anything.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sandbox.stack.packages import import_package

KAFKA_VERSION = "4.1.1"
DEBEZIUM_VERSION = "3.3.1.Final"
KAFKA_ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
    f"org.apache.kafka:connect-json:{KAFKA_VERSION}",
    # Where Kafka's log lines go; without it they are dropped.
    "org.slf4j:slf4j-simple:1.7.36",
)
DEBEZIUM_ROOT = f"io.debezium:debezium-connector-postgres:{DEBEZIUM_VERSION}"

HEADER = """\
# Jars of the embedded stack. Written by `python -m sandbox.stack.lock_jars`; do not edit.
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


def lock_text() -> str:
    kafka = resolve(KAFKA_ROOTS)
    # Connect offers its own libraries to a plugin, which therefore carries only the rest.
    plugin = {key: value for key, value in resolve([DEBEZIUM_ROOT]).items() if key not in kafka}
    lines = [
        f"{group} {organisation}:{artifact}:{version} {sha256}"
        for group, jars in (("kafka", kafka), ("debezium", plugin))
        for (organisation, artifact), (version, sha256) in sorted(jars.items())
    ]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("jars.lock").write_text(lock_text())
