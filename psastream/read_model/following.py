"""Follows the topics: fills a generation from their beginning, then writes what comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from psastream.read_model.landing import LandingTable, fingerprint
from psastream.read_model.metrics import ReadModelMetrics
from psastream.read_model.mirror import Mirror
from psastream.read_model.store import Generation, Store
from runtime.kafka import (
    METADATA_TIMEOUT_S,
    KafkaSettings,
    Place,
    absent_topics,
    count_refusals,
    require_broker,
    spans_of,
)
from runtime.offsets import spans
from runtime.retries import tell_retry
from runtime.sealing import Opened, as_it_is
from runtime.secrets import mask
from schemas.codec.record import AvroSchema
from schemas.errors import BrokerUnavailableError, ConfigError, ReadModelUnavailableError

BATCH: Final = 50_000
WAIT_S: Final = 0.5
"""How many messages, and for how long, are gathered for a transaction."""
QUEUE_KB: Final = 131_072
ANSWER_S: Final = 1.0
"""How long the broker may take to answer while nothing comes: it is silent when it is away, too."""
IDLE_S: Final = 30.0
"""After so long without a message the leader of every partition is asked."""
STALE_AFTER: Final = timedelta(hours=12)
"""What was not followed for so long is filled anew: after a day, brokers drop what tells that a key
was deleted (`delete.retention.ms`)."""
GROUP: Final = "psastream-read-model"
_REMEDY: Final = "check that Kafka runs and that PSASTREAM_BOOTSTRAP_SERVERS names it"
Schemas = Callable[[int], AvroSchema]


class PlaceLostError(ReadModelUnavailableError):
    """A topic does not hold the place up to which it was written."""

    code = "transient.read_model_place_lost"


class Reading:
    """Reads topics from places on; of a topic without one from its beginning."""

    def __init__(
        self, kafka: KafkaSettings, tables: Sequence[LandingTable], places: Mapping[Place, int]
    ) -> None:
        """Raises BrokerUnavailableError, and PlaceLostError where a place is behind the end."""
        found = spans_of(kafka, [table.topic.name for table in tables], timeout_s=IDLE_S)
        for place, (_, end) in found.items():
            if places.get(place, 0) > end:
                raise PlaceLostError(f"{place[0]} ends before what the read model holds of it")
        self._consumer = Consumer(
            {
                **kafka.client(),
                "group.id": GROUP,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": QUEUE_KB,
                "error_cb": _tell,
            }
        )
        self._consumer.assign(
            [TopicPartition(*place, places.get(place, OFFSET_BEGINNING)) for place in found]
        )
        self._kafka, self._places = kafka, tuple(found)
        self._unread = set(found)

    @property
    def has_reached_the_ends(self) -> bool:
        """Whether every partition was read up to its end once."""
        return not self._unread

    def close(self) -> None:
        """End the consumer."""
        self._consumer.close()

    def batches(
        self, is_wanted: Callable[[], bool], doubt: Callable[[BrokerUnavailableError], None]
    ) -> Iterator[tuple[list[Message], dict[Place, int]]]:
        """Yield what `gather` returns, as often as the broker was heard, until it is not wanted.

        `doubt` is told when the broker does not answer; it may be back a moment later. Raises
        BrokerUnavailableError once it was away for `IDLE_S`, PlaceLostError.
        """
        heard_s, is_in_doubt = time.monotonic(), False
        while is_wanted():
            messages, places = self.gather()
            if not places:
                if error := self._silence():
                    is_in_doubt = True
                    doubt(error)
                is_back = is_in_doubt and error is None
                if not is_back and time.monotonic() - heard_s < IDLE_S:
                    continue
                # Others than its own partitions' leaders may have answered.
                spans(self._kafka, self._places)
            heard_s, is_in_doubt = time.monotonic(), False
            yield messages, places

    def _silence(self) -> BrokerUnavailableError | None:
        """Ask any broker whether it is there; return what is to be said where none answers."""
        try:
            self._consumer.list_topics(self._places[0][0], timeout=ANSWER_S)
        except KafkaException as error:
            return BrokerUnavailableError(
                mask(f"the broker does not answer: {self._kafka.bootstrap_servers}: {error}"),
                hint=_REMEDY,
            )
        return None

    def gather(self) -> tuple[list[Message], dict[Place, int]]:
        """Return what has come, and the offset of what comes next where that has changed.

        Raises BrokerUnavailableError, PlaceLostError.
        """
        messages: list[Message] = []
        places: dict[Place, int] = {}
        for message in self._consumer.consume(BATCH, WAIT_S):
            place = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                messages.append(message)
                places[place] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind the last message, too, where a transaction ends.
                places[place] = message.offset()
                self._unread.discard(place)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise PlaceLostError(f"{place[0]} does not hold the place that comes next any more")
            else:
                raise BrokerUnavailableError(f"a topic could not be read: {place[0]}: {error}")
        return messages, places


def layout_of(kafka: KafkaSettings, tables: Sequence[LandingTable]) -> str:
    """Return the layout that tables have now, on the topics that there are now.

    Raises BrokerUnavailableError, and ConfigError where the broker lacks one.
    """
    names = [table.topic.name for table in tables]
    require_broker(kafka.client())
    if absent := absent_topics(kafka, names):
        raise ConfigError(
            f"the broker has no topic {absent[0]} yet", hint="psastream topics apply makes it"
        )
    admin = AdminClient(kafka.client())
    try:
        futures = admin.describe_topics(TopicCollection(names), request_timeout=METADATA_TIMEOUT_S)
        ids = {name: str(future.result().topic_id) for name, future in futures.items()}
    except KafkaException as error:
        raise BrokerUnavailableError(f"topics could not be described: {error}") from error
    return fingerprint(tables, ids)


def is_sound(generation: Generation | None, layout: str) -> bool:
    """Whether a generation can be gone on with."""
    if generation is None or generation.layout != layout:
        return False
    return datetime.now(UTC) - generation.seen_at < STALE_AFTER


def fill(
    store: Store,
    kafka: KafkaSettings,
    tables: Sequence[LandingTable],
    layout: str,
    schema: Schemas,
    *,
    metrics: ReadModelMetrics,
    opened: Opened = as_it_is,
    is_wanted: Callable[[], bool] = lambda: True,
    tell: Callable[[int], None] = lambda rows: None,
    doubt: Callable[[BrokerUnavailableError], None] = lambda error: None,
) -> Generation | None:
    """Fill a new generation up to the ends of its topics, and move the views to it.

    `layout` is what `layout_of` says of the tables, `opened` opens what is encrypted. Meanwhile
    the former generation stays what is asked. Returns None where it is not wanted any more.
    The caller is the writer of the next generation (`Store.take`). `tell` is told how many rows
    there are, as often as the broker was heard, `doubt` when it does not answer. Raises as `follow`
    does.
    """
    generation = store.begin(tables, layout)
    mirror = Mirror(store, generation, tables, schema, is_live=False, opened=opened)
    reading, rows = Reading(kafka, tables, {}), 0
    try:
        for messages, places in reading.batches(is_wanted, doubt):
            rows += _write(mirror, messages, places, metrics)
            tell(rows)
            if reading.has_reached_the_ends:
                break
        else:
            return None
    finally:
        reading.close()
    store.go_live(generation, tables)
    return generation


def follow(
    store: Store,
    generation: Generation,
    kafka: KafkaSettings,
    tables: Sequence[LandingTable],
    schema: Schemas,
    *,
    metrics: ReadModelMetrics,
    opened: Opened = as_it_is,
    is_wanted: Callable[[], bool],
    beat: Callable[[bool], None] = lambda is_caught_up: None,
    doubt: Callable[[BrokerUnavailableError], None] = lambda error: None,
) -> None:
    """Write what comes until it is not wanted any more.

    The caller is the writer of the generation. `beat` is told, as often as the broker was heard,
    whether every topic was read to its end; only then is the generation noted as followed. `doubt`
    is told when the broker does not answer, which is tried for a while. Raises
    RetiredError once another generation is live, PlaceLostError, BrokerUnavailableError,
    RegistryUnavailableError, ReadModelUnavailableError; what was not written then is read again
    from the places.
    """
    mirror = Mirror(store, generation, tables, schema, is_live=True, opened=opened)
    known = store.places(generation)
    reading = Reading(kafka, tables, known)
    try:
        for messages, places in reading.batches(is_wanted, doubt):
            moved = {place: end for place, end in places.items() if known.get(place) != end}
            _write(mirror, messages, moved, metrics)
            known |= moved
            beat(reading.has_reached_the_ends)
    finally:
        reading.close()


def _write(
    mirror: Mirror,
    messages: Sequence[Message],
    places: Mapping[Place, int],
    metrics: ReadModelMetrics,
) -> int:
    rows = mirror.write(messages, places)
    metrics.rows.inc(rows)
    if messages:
        metrics.written_at.set_to_current_time()
    return rows


def _tell(error: KafkaError) -> None:
    count_refusals(error)
    tell_retry(
        BrokerUnavailableError(
            f"the broker does not answer: {error.str()}",
            hint=_REMEDY,
        )
    )
