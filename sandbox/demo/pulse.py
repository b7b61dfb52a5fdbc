"""Numbers that move while a story runs: what waits in the logs, what was written to the vendors."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx2
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from sandbox.demo.audience import DemoAudience
from sandbox.demo.parts import Parts
from sandbox.vendors.client import VendorAdmin

WORKER_GROUP: Final = "psastream"
INTERVAL_S: Final = 1.0


def lag_records(admin: AdminClient, group: str = WORKER_GROUP) -> int:
    """Return how many records of its topics a consumer group has not committed yet.

    Transaction markers count as records. Raises KafkaException.
    """
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    committed = {
        (each.topic, each.partition): each.offset
        for each in asked[group].result().topic_partitions
        if each.offset >= 0
    }
    latest = {TopicPartition(*place): OffsetSpec.latest() for place in committed}
    ends = admin.list_offsets(latest) if latest else {}
    return sum(
        max(0, end.result().offset - committed[place.topic, place.partition])
        for place, end in ends.items()
    )


async def show_pulse(parts: Parts, audience: DemoAudience) -> None:
    """Show the numbers every second; ends only by cancellation."""
    # One client throughout: dropping one with requests under way crashes the interpreter.
    cluster = AdminClient(parts.kafka.client())
    with VendorAdmin(parts.vendors_url) as admin:
        while True:
            try:
                lag = await asyncio.to_thread(lag_records, cluster)
                writes = len(await asyncio.to_thread(admin.effects))
            except (KafkaException, httpx2.TransportError):
                audience.pulse("no numbers: a part is down")
            else:
                audience.pulse(f"{lag:,} records to process · {writes:,} writes to vendors")
            await asyncio.sleep(INTERVAL_S)
