"""Faults of what workers read, and of where they read on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from confluent_kafka import Consumer, TopicPartition

from psastream.worker import APP_ID
from tests.support.eventually import eventually
from tests.support.heard import DEADLINE_S, Watched, fault

TOPIC: Final = "src.inhouse.time_entries"
MANY: Final = 12_000
BOOKED_AT_ONCE: Final = """
    INSERT INTO inhouse.time_entries (id, project_id, worker_email, work_on, hours, currency)
    SELECT 1000000 + number, %s, %s, DATE '2026-09-10', 0.25, %s
    FROM generate_series(1, %s) AS number
"""


@fault(
    "PsastreamDependencyRetries",
    "PsastreamProgressStalled",
    "PsastreamLagHigh",
    done="the registry is down, and a bulk import books 12,000 hours",
    mended="the registry is started again",
    breaks=["worker", "registry", "firm"],
    faster=15,  # or its window were shorter than the pause between two retries
)
def registry_is_down(it: Watched) -> Iterator[None]:
    with it.stopped("registry"):
        it.system.stack.restart("worker")  # which now knows no schema
        project, person = it.system.world.cast.projects[0], it.system.world.cast.people[0]
        with psycopg.connect(it.system.parts.postgres_dsn) as database:
            database.execute(
                BOOKED_AT_ONCE, [int(project.id), person.email, project.currency, MANY]
            )
        yield


@fault(
    "PsastreamStateGap",
    done="somebody moves the workers' offset past records that were not read",
    mended="it is set back to where the state ends",
    labels={"topic": TOPIC},
    breaks=["worker"],
)
def offset_is_moved_forward(it: Watched) -> Iterator[None]:
    with it.stopped("worker"), offsets(it) as consumer:
        [before, *_] = read_up_to(consumer)
        move(consumer, before, before.offset + 100)
    yield
    with it.stopped("worker"), offsets(it) as consumer:
        move(consumer, before, before.offset)


@fault(
    "PsastreamFenceSkips",
    done="a script sets the workers' offset back again and again",
    mended="it does no more",
    labels={"topic": TOPIC},
    breaks=["worker"],
)
def offset_is_set_back(it: Watched) -> Iterator[None]:
    def set_back() -> None:
        with it.stopped("worker"), offsets(it) as consumer:
            for place in read_up_to(consumer):
                move(consumer, place, 0)
        it.seen(f'psastream_fence_skipped_records_total{{topic="{TOPIC}"}}')

    with it.again_and_again(set_back, every_s=5):
        yield


@contextmanager
def offsets(it: Watched) -> Iterator[Consumer]:
    """The offsets of the workers' group, which is empty."""
    options = {"bootstrap.servers": it.system.parts.kafka.bootstrap_servers, "group.id": APP_ID}
    consumer = Consumer({**options, "enable.auto.commit": False})
    try:
        yield consumer
    finally:
        consumer.close()


def read_up_to(consumer: Consumer) -> list[TopicPartition]:
    """Return where the group stands in the partitions of the topic that it has read of."""
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    asked = [TopicPartition(TOPIC, number) for number in partitions]
    return [place for place in consumer.committed(asked, timeout=10) if place.offset > 0]


def move(consumer: Consumer, place: TopicPartition, offset: int) -> None:
    """Set an offset by hand; the broker takes it once the last worker has left the group."""
    to = [TopicPartition(place.topic, place.partition, offset)]

    def moved() -> bool:
        answers = consumer.commit(offsets=to, asynchronous=False)
        return all(answer.error is None for answer in answers)

    eventually(moved, deadline_s=DEADLINE_S)
