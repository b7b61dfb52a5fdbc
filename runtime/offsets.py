"""Where consumer groups and topics stand: committed offsets, ends, and when records were written.

Asks only: nobody joins a group, and nothing is committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from runtime.kafka import (
    ANSWER_MARGIN_S,
    METADATA_TIMEOUT_S,
    READ_GROUP,
    KafkaSettings,
    make_consumer,
    no_answer,
)
from runtime.rights import require_shown
from schemas.errors import BrokerUnavailableError

Place = tuple[str, int]
"""Topic and partition."""

UNREAD_S: Final = 3.0
"""Longest wait for the first unread records of all partitions together."""


def present_places(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, list[Place]]:
    """Return the partitions of those topics that there are, by topic.

    Raises BrokerUnavailableError, AccessRefusedError where the broker does not show one to this
    user.
    """
    asked = list(topics)
    with _asking(settings):
        found = AdminClient(settings.client()).list_topics(timeout=METADATA_TIMEOUT_S).topics
    require_shown(settings.client(), [topic for topic in asked if topic not in found])
    return {
        topic: [(topic, number) for number in sorted(found[topic].partitions)]
        for topic in asked
        if topic in found
    }


def committed_offsets(
    settings: KafkaSettings, group_id: str, places: Iterable[Place]
) -> dict[Place, int]:
    """Return where a group goes on, by partition; one it has committed nothing of is left out.

    Raises BrokerUnavailableError.
    """
    asked = [TopicPartition(*place) for place in places]
    consumer = make_consumer(settings, group_id)
    try:
        with _asking(settings):
            found = consumer.committed(asked, timeout=METADATA_TIMEOUT_S) if asked else []
    except BrokerUnavailableError:
        group_members(settings, group_id)  # says so where the right is missing: the client waits
        raise
    finally:
        consumer.close()
    return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}


def spans(settings: KafkaSettings, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
    """Return the first offset of partitions and the end of what can be read of them.

    Raises BrokerUnavailableError.
    """
    wanted = list(places)
    starts = _offsets(settings, wanted, OffsetSpec.earliest())
    ends = _offsets(settings, wanted, OffsetSpec.latest())
    return {place: (starts[place][0], ends[place][0]) for place in wanted}


def newest_at(settings: KafkaSettings, places: Iterable[Place]) -> dict[str, datetime]:
    """Return when topics were written last, by their largest timestamp; not of an empty one.

    Of what was written in a transaction that is when it ended, by the broker's clock. Raises
    BrokerUnavailableError.
    """
    newest: dict[str, datetime] = {}
    for (topic, _), (_, at_ms) in _offsets(settings, places, OffsetSpec.max_timestamp()).items():
        if at_ms >= 0:
            at = datetime.fromtimestamp(at_ms / 1000, UTC)
            newest[topic] = max(at, newest.get(topic, at))
    return newest


def unread_since(
    settings: KafkaSettings, positions: Mapping[Place, int], *, timeout_s: float = UNREAD_S
) -> dict[Place, datetime | None]:
    """Return when the first record at or after each position was written.

    None stands for one that does not say, or is not found in time; a partition that holds none any
    more, but marks of transactions, is left out. Raises BrokerUnavailableError.
    """
    found: dict[Place, datetime | None] = dict.fromkeys(positions)
    if not positions:
        return found
    consumer = make_consumer(settings, READ_GROUP, enable_partition_eof=True)
    try:
        with _asking(settings):
            consumer.assign([TopicPartition(*place, at) for place, at in positions.items()])
            unread, deadline_s = set(positions), time.monotonic() + timeout_s
            while unread and time.monotonic() < deadline_s:
                for message in consumer.consume(1_000, timeout=0.1):
                    place = (message.topic(), message.partition())
                    if place not in unread:
                        continue
                    unread.discard(place)
                    consumer.pause([TopicPartition(*place)])
                    if (error := message.error()) is None:
                        kind, at_ms = message.timestamp()
                        if kind != TIMESTAMP_NOT_AVAILABLE:
                            found[place] = datetime.fromtimestamp(at_ms / 1000, UTC)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        del found[place]
                    else:
                        raise KafkaException(error)
    finally:
        consumer.close()
    return found


def group_members(settings: KafkaSettings, group_id: str) -> int:
    """Return how many members a group has; one that nobody was ever in has none.

    Raises BrokerUnavailableError.
    """
    admin = AdminClient(settings.client())
    with _asking(settings):
        asked = admin.describe_consumer_groups([group_id], request_timeout=METADATA_TIMEOUT_S)
        try:
            return len(asked[group_id].result(METADATA_TIMEOUT_S + ANSWER_MARGIN_S).members)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            raise


def _offsets(
    settings: KafkaSettings, places: Iterable[Place], spec: OffsetSpec
) -> dict[Place, tuple[int, int]]:
    """Return offset and timestamp (milliseconds, -1 for none) that a broker tells of partitions."""
    asked = {TopicPartition(*place): spec for place in places}
    if not asked:
        return {}
    admin = AdminClient(settings.client())
    with _asking(settings):
        answers = admin.list_offsets(
            asked,
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=METADATA_TIMEOUT_S,
        )
        told = {
            (place.topic, place.partition): answer.result(METADATA_TIMEOUT_S + ANSWER_MARGIN_S)
            for place, answer in answers.items()
        }
    return {place: (each.offset, each.timestamp) for place, each in told.items()}


@contextmanager
def _asking(settings: KafkaSettings) -> Iterator[None]:
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        raise no_answer(settings, error) from error
