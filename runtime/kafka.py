"""Kafka clients of the edges, on confluent-kafka: configuration, topics, whole-topic reads.

The stream worker has its own transport (`streams.engine`); this is for everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import BaseModel, ConfigDict, Field
from stamina import retry_context

from runtime.rights import is_refused, refused, require_shown, signs_in
from runtime.secrets import mask
from runtime.sign_ins import KAFKA, sign_in_failed
from runtime.tls import SecretFile, TlsFiles, explain, probe
from schemas.errors import BrokerUnavailableError, ConfigError
from schemas.topics import Topic

MAX_MESSAGE_BYTES: Final = 16_000_000
METADATA_TIMEOUT_S: Final = 15.0
ANSWER_MARGIN_S: Final = 5.0
"""How much longer than its time-out a request of the client may take to say so."""
READ_TIMEOUT_S: Final = 120.0
SILENCE_S: Final = 3.0
GATHER_S: Final = 0.05
"""How long the broker, and then the client, lets messages gather. Near the end of a topic, where
few or none come any more, every read takes that long."""
READ_GROUP: Final = "psastream-read-topic"
FOLLOW_S: Final = 0.5
FOLLOW_MESSAGES: Final = 1_000
"""How long, and for how many, what is followed gathers."""
_OURS: Final = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "group.instance.id",
        "transactional.id",
        "enable.idempotence",
        "enable.auto.commit",
        "isolation.level",
    }
)
"""Options that guarantees rest on, and the one that has a variable of its own."""
FILES: Final = frozenset(
    {
        "https.ca.location",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
    }
)
"""Options that name files with credentials."""
SECRETS: Final = frozenset(
    {
        "sasl.oauthbearer.client.secret",
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
    }
)
"""Options whose value may stand in a file."""
REACH_TIMEOUT_S: Final = 8.0
QUIET: Final[Mapping[str, int]] = {"log_level": 2}
"""Of librdkafka: it writes to standard error by itself, 20 lines a second where no broker answers.
Whoever needs the broker says so instead, in one line."""


class KafkaSettings(BaseModel):
    """Where the broker is. `extra` holds librdkafka keys, such as those for TLS and SASL.

    `secrets` are keys whose value a file holds, which may change while the process runs.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    bootstrap_servers: str = Field(min_length=1)
    extra: Mapping[str, str] = Field(default_factory=dict, repr=False)
    secrets: Mapping[str, SecretFile] = Field(default_factory=dict, repr=False)

    def client(self) -> dict[str, str | int | bool]:
        """Return the librdkafka configuration common to all clients, with the secrets of now."""
        options = self.options()
        signs_in(options)
        return {"bootstrap.servers": self.bootstrap_servers, **QUIET, **options}

    def options(self) -> dict[str, str]:
        """Return the keys for TLS, SASL and whatever else is set, with the secrets of now."""
        return {**self.extra, **{key: file.value for key, file in self.secrets.items()}}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that hold what a client signs in with, or whom it trusts."""
        named = (Path(value) for key, value in self.extra.items() if key in FILES)
        return (*named, *(file.path for file in self.secrets.values()))


def require_broker(
    client: Mapping[str, str | int | bool],
    *,
    timeout_s: float = REACH_TIMEOUT_S,
    is_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Return once a broker answers to a client of this configuration. Blocking.

    Returns early, within a second, when it is not wanted any more. Raises BrokerUnavailableError
    after `timeout_s`, with what the client has last said of the connection.
    """
    said: list[str] = []
    admin = AdminClient({**client, "error_cb": lambda error: said.append(error.str())})
    deadline_s = time.monotonic() + timeout_s
    while is_wanted():
        try:
            admin.list_topics(timeout=1.0)
        except KafkaException as error:
            admin.poll(0)  # serves error_cb
            if time.monotonic() < deadline_s:
                continue
            reasons = [line for line in said if "brokers are down" not in line]
            reason = reasons[-1] if reasons else str(error)
            raise BrokerUnavailableError(
                mask(
                    f"no Kafka broker answers at {client['bootstrap.servers']}:"
                    f" {_explained(client, reason)}"
                ),
                hint="check that Kafka runs, that PSASTREAM_BOOTSTRAP_SERVERS names it and that"
                " the TLS and SASL settings are those of its listener",
            ) from error
        else:
            return


def _explained(client: Mapping[str, str | int | bool], reason: str) -> str:
    """In plain words what the client said: of a certificate it does not say what is wrong."""
    options = {key: str(value) for key, value in client.items()}
    if "SSL" in options.get("security.protocol", "").upper():
        server = options["bootstrap.servers"].split(",")[0].strip()
        if (told := probe(server, TlsFiles.of_options(options))) is not None:
            return told
    return explain(reason) or reason


def refused_options(extra: Mapping[str, str]) -> dict[str | None, str]:
    """Return why librdkafka, or psastream, does not take an option, by its key.

    Under None stands what is wrong with all of them together.
    """
    problems: dict[str | None, str] = {
        key: "psastream sets it itself" for key in extra if key in _OURS
    }
    together = _refusal(extra)
    if problems or together is None:
        return problems
    for key, value in extra.items():
        # A certificate is read only where TLS is on; what a client lacks besides is no fault of it.
        is_tls = key.startswith("ssl.")
        alone = _refusal({key: value, **({"security.protocol": "SSL"} if is_tls else {})})
        if alone is not None and (is_tls or not alone.startswith("Failed to create")):
            problems[key] = alone
    return problems or {None: together}


def _refusal(extra: Mapping[str, str]) -> str | None:
    """Make a client that connects to nothing: librdkafka checks options nowhere else."""
    try:
        Consumer({**extra, "group.id": READ_GROUP, "log_level": 0}).close()
    except KafkaException as error:
        return str(error.args[0].str())
    return None


def count_refusals(error: KafkaError) -> None:
    """Note a sign-in that failed, of what a client says of its connections (`error_cb`)."""
    if error.code() == KafkaError._AUTHENTICATION:
        sign_in_failed(KAFKA)


def make_producer(settings: KafkaSettings, **overrides: str | int | bool) -> Producer:
    """Return an idempotent producer that waits for all replicas."""
    config: dict[str, Any] = {
        **settings.client(),
        "error_cb": count_refusals,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "linger.ms": 5,
        "message.max.bytes": MAX_MESSAGE_BYTES,
    }
    return Producer({**config, **_dotted(overrides)})


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as it is to stand in a partition. `timestamp_ms`: Unix time; 0 is now."""

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0


def publish_all(
    settings: KafkaSettings, topic: str, records: Iterable[RawRecord], *, within_s: float, hint: str
) -> None:
    """Publish records, and return once all are safe. Blocks.

    Raises BrokerUnavailableError, with the hint, or AccessRefusedError; some may be there then.
    """
    producer, failed = make_producer(settings), list[KafkaError]()

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    try:
        for record in records:
            _produce(producer, topic, record, delivered)
            if failed:
                break
        left = producer.flush(within_s)
    except KafkaException as error:
        failed.append(error.args[0])
        left = 0
    if left or failed:
        why = f": {failed[0].str()}" if failed else " in time"
        detail = f"the broker did not acknowledge what is for {topic}{why}"
        told = refused(detail, failed[0]) if failed else None
        raise told or BrokerUnavailableError(detail, hint=hint)


def _produce(
    producer: Producer,
    topic: str,
    record: RawRecord,
    delivered: Callable[[KafkaError | None, Message], None],
) -> None:
    while True:
        try:
            producer.produce(
                topic,
                key=record.key,
                value=record.value,
                partition=record.partition,
                timestamp=record.timestamp_ms,
                on_delivery=delivered,
            )
        except BufferError:  # the local queue is full: let it drain
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def describe_members(
    settings: KafkaSettings, group_id: str, *, timeout_s: float = METADATA_TIMEOUT_S
) -> str:
    """Say who is in a group: host, client and instance id of each member; best effort. Blocks."""
    admin = AdminClient(settings.client())  # kept: what ends with its client is never answered
    try:
        [future] = admin.describe_consumer_groups([group_id], request_timeout=timeout_s).values()
        members = future.result(timeout_s + ANSWER_MARGIN_S).members
    except (KafkaException, TimeoutError) as error:
        return f"not known, {error}"
    return (
        "; ".join(
            f"host {member.host}, client {member.client_id}, "
            f"instance {member.group_instance_id or 'unnamed'}"
            for member in members
        )
        or "nobody"
    )


def make_consumer(
    settings: KafkaSettings, group_id: str, **overrides: str | int | bool
) -> Consumer:
    """Return a consumer that reads committed records only and commits nothing by itself."""
    config: dict[str, Any] = {
        **settings.client(),
        "error_cb": count_refusals,
        "group.id": group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    return Consumer({**config, **_dotted(overrides)})


def _dotted(overrides: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """Keyword `auto_offset_reset` stands for librdkafka's key `auto.offset.reset`."""
    return {key.replace("_", "."): value for key, value in overrides.items()}


def create_topics(
    settings: KafkaSettings, topics: Iterable[Topic], *, replication_factor: int
) -> list[str]:
    """Create the topics that do not exist yet and return their names.

    Raises ConfigError where an existing topic has another partition count (upholds I4), and
    BrokerUnavailableError where the broker does not answer.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AdminClient(settings.client())
    try:
        present = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise no_answer(settings, error) from error
    counts = {name: len(found.partitions) for name, found in present.items()}
    if wrong := wrong_partitions(wanted.values(), counts):
        raise ConfigError(
            f"topics exist with another partition count: {'; '.join(wrong)}",
            hint="move the data to topics of the right size; the count decides where rows live",
        )
    missing = [topic for name, topic in wanted.items() if name not in present]
    futures = (
        admin.create_topics([_new_topic(topic, replication_factor) for topic in missing])
        if missing
        else {}
    )
    created = []
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                detail = f"a topic could not be created: {name}: {error}"
                told = refused(detail, error)
                raise told or BrokerUnavailableError(detail) from error
        else:
            created.append(name)
    return created


def wrong_partitions(topics: Iterable[Topic], present: Mapping[str, int]) -> list[str]:
    """Say which topics that are there have another partition count, by their counts."""
    return [
        f"{topic.name} has {present[topic.name]} partitions, not {topic.partitions}"
        for topic in topics
        if topic.name in present and present[topic.name] != topic.partitions
    ]


def topic_settings(topic: Topic) -> dict[str, str]:
    """Return the settings that a topic has from the catalogue."""
    config = {
        "cleanup.policy": topic.cleanup.value,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
    }
    if topic.retention_ms is not None:
        config["retention.ms"] = str(topic.retention_ms)
    if topic.compacted_within_ms is not None:
        within = str(topic.compacted_within_ms)
        config |= {"max.compaction.lag.ms": within, "delete.retention.ms": within}
    return config


def _new_topic(topic: Topic, replication_factor: int) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=replication_factor,
        config=topic_settings(topic),
    )


Place = tuple[str, int]
"""A partition: topic and number."""
Span = tuple[int, int]
"""Offsets: the first, and that behind the last."""


def absent_topics(settings: KafkaSettings, names: Iterable[str]) -> list[str]:
    """Return those topics that the broker does not have.

    Raises BrokerUnavailableError, AccessRefusedError where it does not show one to this user.
    """
    try:
        present = AdminClient(settings.client()).list_topics(timeout=METADATA_TIMEOUT_S).topics
    except KafkaException as error:
        raise no_answer(settings, error) from error
    absent = [name for name in names if name not in present]
    require_shown(settings.client(), absent)
    return absent


def read_topic(
    settings: KafkaSettings, topic: str, *, timeout_s: float = READ_TIMEOUT_S
) -> Iterator[Message]:
    """Yield every committed message of a topic, tombstones included, up to its end as of now.

    As `read_spans`; `timeout_s` is also the longest wait for the topic.
    """
    deadline_at = time.monotonic() + timeout_s
    spans = spans_of(settings, [topic], timeout_s=timeout_s)
    yield from read_spans(settings, spans, timeout_s=deadline_at - time.monotonic())


def read_spans(
    settings: KafkaSettings, spans: Mapping[Place, Span], *, timeout_s: float = READ_TIMEOUT_S
) -> Iterator[Message]:
    """Yield every committed message of spans of partitions, tombstones included.

    Messages of one partition come in offset order. Where a transaction is open below the end of a
    span, the broker hides what follows it: reading waits until it is resolved. Raises
    BrokerUnavailableError after `timeout_s` without the end in sight.
    """
    deadline_at = time.monotonic() + timeout_s
    unread = {place: span for place, span in spans.items() if span[0] < span[1]}
    try:
        while unread:
            yield from _read_unread(settings, unread, deadline_at)
    except KafkaException as error:
        raise cannot_read({topic for topic, _ in unread}, error) from error


def topic_spans(
    settings: KafkaSettings, topic: str, *, timeout_s: float = READ_TIMEOUT_S
) -> dict[int, Span]:
    """Return the first offset and the end of every partition, by number. As `spans_of`."""
    spans = spans_of(settings, [topic], timeout_s=timeout_s)
    return {number: span for (_, number), span in spans.items()}


def spans_of(
    settings: KafkaSettings, topics: Iterable[str], *, timeout_s: float = READ_TIMEOUT_S
) -> dict[Place, Span]:
    """Return the first offset and the end of every partition of topics.

    Raises BrokerUnavailableError after `timeout_s` without an answer, or without a topic.
    """
    consumer = make_consumer(settings, READ_GROUP, isolation_level="read_uncommitted")
    spans: dict[Place, Span] = {}
    try:
        for topic in topics:
            # One just made, or a broker just started, has no leaders for a moment.
            for attempt in retry_context(
                on=may_pass, attempts=None, timeout=timeout_s, wait_max=1.0
            ):
                with attempt:
                    spans |= spans_by(consumer, topic)
    except KafkaException as error:
        raise cannot_read({topic}, error) from error
    finally:
        consumer.close()
    return spans


def may_pass(error: Exception) -> bool:
    """Whether a request may be answered if it is made again."""
    return isinstance(error, KafkaException) and not is_refused(error)


def spans_by(consumer: Consumer, topic: str) -> dict[Place, Span]:
    """Return the first offset and the end of every partition of a topic. Raises KafkaException."""
    found = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return {
        (topic, number): consumer.get_watermark_offsets(
            TopicPartition(topic, number), timeout=METADATA_TIMEOUT_S
        )
        for number in found.partitions
    }


def cannot_read(topics: Iterable[str], error: KafkaException) -> BrokerUnavailableError:
    """Return what to raise where topics cannot be read."""
    detail = f"a topic could not be read: {', '.join(sorted(topics))}: {error}"
    return refused(detail, error) or BrokerUnavailableError(detail, hint="check the broker")


def no_answer(settings: KafkaSettings, error: KafkaException) -> BrokerUnavailableError:
    return refused(mask(f"the broker refuses: {error}"), error) or BrokerUnavailableError(
        mask(f"the broker does not answer: {settings.bootstrap_servers}: {error}"),
        hint="check that Kafka runs and that PSASTREAM_BOOTSTRAP_SERVERS names it",
    )


def _read_unread(
    settings: KafkaSettings, unread: dict[Place, Span], deadline_at: float
) -> Iterator[Message]:
    """Yield from one consumer until the spans are read or it falls silent; shrink the spans.

    A consumer that has nothing more to say before the end is replaced: it may have lost track of
    the end of a partition, which no error reports.
    """
    consumer = make_consumer(
        settings, READ_GROUP, enable_partition_eof=True, fetch_wait_max_ms=int(GATHER_S * 1000)
    )
    try:
        consumer.assign([TopicPartition(*place, start) for place, (start, _) in unread.items()])
        silent_at = time.monotonic() + SILENCE_S
        while unread and time.monotonic() < silent_at:
            for message in consumer.consume(10_000, timeout=GATHER_S):
                place = message.topic(), message.partition()
                error = message.error()
                if error is None:
                    silent_at = time.monotonic() + SILENCE_S
                    position = message.offset() + 1
                    if place in unread:
                        yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    position = message.offset()
                else:
                    raise KafkaException(error)
                _, end = unread.get(place, (0, 0))
                if position >= end:
                    unread.pop(place, None)
                else:
                    unread[place] = (position, end)
    finally:
        consumer.close()
    if unread and time.monotonic() > deadline_at:
        raise never_ends(min(unread))


def never_ends(place: Place) -> BrokerUnavailableError:
    """Return what to raise where the end of a partition does not come in sight."""
    topic, number = place
    return BrokerUnavailableError(
        f"the end of {topic} cannot be read",
        hint="a transaction below it may be open: see `kafka-transactions.sh find-hanging`",
        context={"topic": topic, "partition": number},
    )


def follow_places(settings: KafkaSettings, starts: Mapping[Place, int]) -> Iterator[list[Message]]:
    """Return what is committed to partitions from these offsets on, as it comes, without an end.

    Raises BrokerUnavailableError where a partition cannot be read any more.
    """
    consumer = make_consumer(settings, READ_GROUP)
    consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
    return _followed(consumer, {topic for topic, _ in starts})


def _followed(consumer: Consumer, topics: set[str]) -> Iterator[list[Message]]:
    try:
        while True:
            messages = consumer.consume(FOLLOW_MESSAGES, timeout=FOLLOW_S)
            for message in messages:
                error = message.error()
                if error is not None and not error.retriable():
                    raise cannot_read(topics, KafkaException(error))
            yield [message for message in messages if message.error() is None]
    finally:
        consumer.close()


def starts_at(
    settings: KafkaSettings,
    spans: Mapping[Place, Span],
    at_ms: int,
    *,
    timeout_s: float = READ_TIMEOUT_S,
) -> dict[Place, int]:
    """Return the offset of the first record of each partition that is not older than a time.

    `at_ms`: Unix time. Of a partition without such a record the end of its span. Raises as
    `spans_of`.
    """
    consumer = make_consumer(settings, READ_GROUP)
    starts: dict[Place, int] = {}
    try:
        for attempt in retry_context(on=may_pass, attempts=None, timeout=timeout_s, wait_max=1.0):
            with attempt:
                starts = _starts(consumer, spans, at_ms)
    except KafkaException as error:
        raise cannot_read({topic for topic, _ in spans}, error) from error
    finally:
        consumer.close()
    return {
        place: min(starts[place], end) if starts[place] >= 0 else end
        for place, (_, end) in spans.items()
    }


def _starts(consumer: Consumer, spans: Iterable[Place], at_ms: int) -> dict[Place, int]:
    found = consumer.offsets_for_times(
        [TopicPartition(*place, at_ms) for place in spans], timeout=METADATA_TIMEOUT_S
    )
    for each in found:
        if each.error is not None:  # its offset would look like that of one with no such record
            raise KafkaException(each.error)
    return {(each.topic, each.partition): each.offset for each in found}


def read_compacted(settings: KafkaSettings, topic: str) -> dict[bytes, bytes]:
    """Return the last value of every key of a topic, deleted keys left out."""
    rows: dict[bytes, bytes] = {}
    for message in read_topic(settings, topic):
        value = message.value()
        if value is None:
            rows.pop(message.key(), None)
        else:
            rows[message.key()] = value
    return rows
