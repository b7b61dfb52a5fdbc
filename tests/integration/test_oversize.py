"""Rows that the broker takes no message of: put aside alone, on a real broker."""

from __future__ import annotations

import asyncio
import random
import uuid

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from connectors.polled.bookmark import Batch, Bookmark, Change, RowsTooLargeError
from connectors.polled.kafka_log import DEAD_LETTERS, KafkaLog
from runtime.kafka import MAX_MESSAGE_BYTES, KafkaSettings, create_topics, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.topics import BOOKMARKS
from tests.support.catalogue import BY_NAME, CATALOGUE, SOURCES
from tests.support.polled import START, make_config
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.crash]

ROLES = "src.float.role"
LIMIT = 200_000


def limit(kafka: KafkaSettings, bytes_max: int) -> None:
    resource = ConfigResource(
        ResourceType.TOPIC,
        ROLES,
        incremental_configs=[
            ConfigEntry(
                "max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET
            )
        ],
    )
    admin = AdminClient(kafka.client())  # kept: what ends with its client is never answered
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_of_a_batch_those_rows_are_named_that_the_broker_refuses(stack: RunningStack) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)
    registry = Registry(stack.addresses.registry_url)
    registry.register_catalogue(CATALOGUE)
    create_topics(kafka, [BY_NAME[ROLES], BY_NAME[DEAD_LETTERS], BOOKMARKS], replication_factor=1)
    name = uuid.uuid4().hex
    config = make_config(
        **{"name": name, "topic.prefix": "src.float", "object.include.list": "role"}
    )
    log = KafkaLog(kafka, Serde(registry, SOURCES), config)
    noise = random.Random(1)

    def change(row_id: str, size: int) -> Change:
        text = "".join(chr(noise.randrange(0x4E00, 0x9000)) for _ in range(size // 3))
        return Change(f"{name}{row_id}", "c", None, {"id": 7, "name": text}, 1, START)

    small = [change(str(number), 2_000) for number in range(40)]
    large = [change("large", 2 * LIMIT), change("local", MAX_MESSAGE_BYTES + 100_000)]
    batch = Batch("role", Bookmark(position=1), [*small[:20], *large, *small[20:]])
    limit(kafka, LIMIT)
    try:

        async def publish() -> set[str]:
            await log.open()
            named: set[str] = set()
            changes = list(batch.changes)
            for _ in range(3):
                try:
                    await log.commit(Batch("role", batch.bookmark, changes))
                except RowsTooLargeError as error:
                    named |= error.rows.keys()
                    changes = [each for each in changes if each.row_id not in named]
                else:
                    return named
            raise AssertionError("it is never published")

        assert asyncio.run(publish()) == {each.row_id for each in large}
    finally:
        limit(kafka, MAX_MESSAGE_BYTES)
    keys = [log._serde.read_key(message.key() or b"") for message in read_topic(kafka, ROLES)]
    ours = [key for key in keys if key.startswith(name)]
    assert sorted(ours) == sorted(each.row_id for each in small)
