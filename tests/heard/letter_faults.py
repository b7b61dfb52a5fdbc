"""Records that nobody can read, and dead letters that nobody decides about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.support.heard import Watched, fault

LETTERS: Final = "psa.dlq"
HOUR_MS: Final = 3_600_000


@fault(
    "PsastreamDeadLetters",
    done="a record that cannot be read is sent",
    mended="no other is",
    labels={"topic": "src.float.person"},
    needs=["worker"],
)
def record_is_unreadable(it: Watched) -> Iterator[None]:
    unreadable(it, "src.float.person")
    yield


@fault(
    "PsastreamDeadLetterExpiring",
    done="somebody has dead letters kept for three days, and nobody decides about one",
    mended="they are kept as long as before",
    breaks=[LETTERS],
    needs=["worker"],
)
def letters_are_kept_three_days(it: Watched) -> Iterator[None]:
    unreadable(it, "src.float.role")
    with kept(it, 72 * HOUR_MS):
        yield


@fault(
    "PsastreamDeadLetterAboutToExpire",
    done="somebody has dead letters kept for twelve hours, and nobody decides about one",
    mended="they are kept as long as before",
    breaks=[LETTERS],
    needs=["worker"],
)
def letters_are_kept_hours(it: Watched) -> Iterator[None]:
    unreadable(it, "src.float.role")
    with kept(it, 12 * HOUR_MS):
        yield


def unreadable(it: Watched, topic: str) -> None:
    """Send what is no record."""
    it.system.produce(topic, 0, b"\0", b"no record")


@contextmanager
def kept(it: Watched, retention_ms: int) -> Iterator[None]:
    """Have the broker keep dead letters for so long, and then as long as before."""
    admin = AdminClient({"bootstrap.servers": it.system.parts.kafka.bootstrap_servers})
    topic = ConfigResource(ResourceType.TOPIC, LETTERS)
    [described] = admin.describe_configs([topic]).values()
    before = described.result(30)["retention.ms"].value

    def keep(value: str) -> None:
        entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
        changed = ConfigResource(ResourceType.TOPIC, LETTERS, incremental_configs=[entry])
        [altered] = admin.incremental_alter_configs([changed]).values()
        altered.result(30)

    keep(str(retention_ms))
    try:
        yield
    finally:
        keep(before)
