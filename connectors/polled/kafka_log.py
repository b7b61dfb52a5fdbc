"""The log of the polled sources on Kafka: one transaction a batch.

Change events, dead letters, ledger entries, news of orders and the bookmark of a batch share a
transaction of the connector's own transactional id. Readers of committed records see all of it or
none (I2), and a second poller of the same connector fences the first. Bookmarks and ledger live in
one compacted topic, keys `<connector>|<object>` and `<connector>|<object>|<row id>`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from confluent_kafka import KafkaException, Producer, TopicPartition

from connectors.polled.bookmark import Batch, Bookmark, Change, Rejected, RowsTooLargeError
from connectors.polled.config import PolledConfig
from connectors.polled.events import EventColumns
from connectors.polled.ledger import Entry, Ledger
from connectors.polled.sending import (
    CALL_TIMEOUT_S,
    Message,
    await_reports,
    call,
    send,
    serve_reports,
)
from connectors.polled.spans import Headers, capturing
from runtime.kafka import (
    MAX_MESSAGE_BYTES,
    KafkaSettings,
    make_consumer,
    make_producer,
    read_compacted,
    require_broker,
)
from runtime.rights import refused
from runtime.secrets import mask
from runtime.serde import Serde
from runtime.threads import in_daemon_thread
from schemas.envelope import Operation
from schemas.errors import BrokerUnavailableError, FatalError
from schemas.position import Position
from schemas.routing import partition_of
from schemas.topics import BOOKMARKS, BY_NAME, PARTITIONS, SOURCE_ORDERS

_log = structlog.get_logger()

VERSION: Final = "1"
UNREADABLE: Final = "unreadable"
"""Stands for the digest of a row whose entry is damaged: that of no content."""
DEAD_LETTERS: Final = "psa.dlq"
GROUP: Final = "psastream-source-log"
"""Of consumers that ask for ends; nobody joins it."""
INIT_TIMEOUT_S: Final = 8.0
CLOSE_WITHIN_S: Final = 3.0
TRANSACTION_TIMEOUT_MS: Final = 30_000
STABLE_DEADLINE_S: Final = 120.0
LETTER_BYTES_MAX: Final = MAX_MESSAGE_BYTES - 65_536
"""Of a refused row in a dead letter: the rest of the message is its reason and where it is from."""


class KafkaLog:
    """Publishes the batches of one connector. `open` must come first."""

    def __init__(
        self,
        settings: KafkaSettings,
        serde: Serde,
        config: PolledConfig,
        make: Callable[..., Producer] = make_producer,
    ) -> None:
        """`make` returns a producer by settings and overrides, as `make_producer`."""
        self._settings = settings
        self._serde = serde
        self._config = config
        self._make = make
        self._events = EventColumns(serde)
        self._producer: Producer | None = None
        self._lock = asyncio.Lock()  # one transaction at a time
        self._committing: asyncio.Future[None] | None = None
        self._sends_singly = False
        self._is_spent = False

    async def open(self) -> dict[str, tuple[Bookmark | None, Ledger]]:
        """Fence older pollers, then return bookmark and ledger of every object.

        Raises BrokerUnavailableError, FatalError.
        """
        return await in_daemon_thread(self._open)

    async def commit(self, batch: Batch) -> None:
        """Publish a batch atomically. Upholds I2.

        Raises BrokerUnavailableError or RowsTooLargeError when nothing of it was published,
        FatalError when another poller has taken over or the outcome cannot be told.
        """
        async with self._lock:
            self._committing = asyncio.ensure_future(in_daemon_thread(self._commit, batch))
            await asyncio.shield(self._committing)  # see `close`

    async def close(self) -> None:
        """Let a transaction under way end, for a moment; the next start aborts what is left."""
        if self._committing is not None:
            await asyncio.wait({self._committing}, timeout=CLOSE_WITHIN_S)
            self._committing.cancel()

    def _open(self) -> dict[str, tuple[Bookmark | None, Ledger]]:
        require_broker(self._settings.client())
        self._serde.require_keys(self._settings)
        self._start_producer()
        _log.debug("poll.source_log_fenced", connector=self._config.name)
        _await_stable(self._settings, TopicPartition(BOOKMARKS.name, 0))
        _log.debug("poll.source_log_stable", connector=self._config.name)
        stored = read_compacted(self._settings, BOOKMARKS.name)
        return read_states(self._config.name, self._config.objects, stored)

    def _start_producer(self) -> None:
        """Fence all earlier producers of this connector. Raises BrokerUnavailableError."""
        one_each = {"batch_num_messages": 1} if self._sends_singly else {}
        producer = self._make(
            self._settings,
            transactional_id=transactional_id(self._config.name),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            delivery_report_only_error=True,
            **one_each,
        )
        try:
            producer.init_transactions(INIT_TIMEOUT_S)
        except KafkaException as error:
            # Each attempt to start has a producer of its own.
            name = transactional_id(self._config.name)
            detail = f"no transactional producer {name}: {error}"
            told = refused(detail, error)
            raise told or BrokerUnavailableError(detail) from error
        self._producer, self._is_spent = producer, False

    def _commit(self, batch: Batch) -> None:
        messages = self.messages(batch)  # encoding may fail: before a transaction begins
        with capturing(self._config.system, self._config.topic(batch.obj), batch) as headers:
            large = self._publish(messages, headers)
            if self._is_spent and not self._sends_singly:
                # What travels together is refused together. From here on each message travels by
                # itself, so that the broker tells which it was.
                self._sends_singly = True
                large = self._publish(messages, headers)
            if large:
                raise self._too_large(batch, messages, large)

    def _publish(
        self, messages: Sequence[Message], headers: Sequence[Headers] = ()
    ) -> Collection[int]:
        """Publish messages in one transaction, or none where one is refused for its size.

        `headers` are of the first of them. Returns the places of those that were refused. A
        producer to which the broker has refused one is spent: it has counted it, the broker has
        not, and would refuse what follows as out of sequence. Its transaction is aborted by the
        next one's start: an abort of its own would wait for what it had sent behind.
        """
        assert self._producer is not None, "the log is not open"
        if self._is_spent:
            self._start_producer()
        producer, large = self._producer, set[int]()
        call(producer.begin_transaction)
        try:
            refused = send(producer, messages, headers, large)
            if refused is not None:
                call(lambda: producer.abort_transaction(CALL_TIMEOUT_S))
                return {refused}
            await_reports(producer, large)
            if not large:
                call(lambda: producer.commit_transaction(CALL_TIMEOUT_S))
        except BrokerUnavailableError:
            serve_reports(producer)
            if not large:
                call(lambda: producer.abort_transaction(CALL_TIMEOUT_S))
                serve_reports(producer)
            if not large:
                raise
        self._is_spent = bool(large)
        return large

    def _too_large(
        self, batch: Batch, messages: Sequence[Message], large: Collection[int]
    ) -> RowsTooLargeError | FatalError:
        of_rows, of_letters = len(batch.changes), len(batch.changes) + len(batch.rejected)
        letters = [batch.rejected[it - of_rows] for it in large if of_rows <= it < of_letters]
        if max(large) >= of_letters or not all(letter.is_whole for letter in letters):
            return FatalError(
                "the broker refuses for their size records that hold no row",
                hint="psastream check tells which settings of topics are not as declared",
            )
        sizes = {
            batch.changes[place].row_id: len(messages[place][3] or b"")
            for place in large
            if place < of_rows
        }
        return RowsTooLargeError(sizes, {letter.row_id for letter in letters})

    def messages(self, batch: Batch) -> list[Message]:
        """The messages of a batch, the bookmark last. Raises InvalidEntityError."""
        topic = self._config.topic(batch.obj)
        messages = self._changes(batch)
        messages += [self._dead_letter(topic, rejected) for rejected in batch.rejected]
        prefix = f"{self._config.name}|{batch.obj}"
        for row_id, entry in batch.entries.items():
            value = None if entry is None else entry.to_bytes()
            messages.append((BOOKMARKS.name, 0, f"{prefix}|{row_id}".encode(), value))
        for taken in batch.answers:
            messages.append((SOURCE_ORDERS.name, 0, taken.key.encode(), taken.to_bytes()))
        messages.append((BOOKMARKS.name, 0, prefix.encode(), batch.bookmark.to_bytes()))
        return messages

    def _changes(self, batch: Batch) -> list[Message]:
        topic, changes = self._config.topic(batch.obj), batch.changes
        source = partial(self._source, batch.obj)
        values = self._events.values(topic, changes, source, _beside)
        if values is None:
            values = [
                self._serde.value(topic, _envelope(change, source), change.row_id)
                for change in changes
            ]
        row_ids = [change.row_id for change in changes]
        return [
            (topic, partition_of(row_id, PARTITIONS), key, value)
            for row_id, key, value in zip(
                row_ids, self._serde.keys(topic, row_ids) if row_ids else (), values, strict=True
            )
        ]

    def _source(self, obj: str, change: Change) -> dict[str, object]:
        """Where a change comes from, but for its place there."""
        return {
            "version": VERSION,
            "connector": self._config.system,
            "name": self._config.topic_prefix,
            "ts_ms": _milliseconds(change.captured_at),
            "snapshot": "true" if change.op == Operation.READ else "false",
            "db": self._config.system,
            "schema": None,
            "table": obj,
        }

    def _dead_letter(self, topic: str, rejected: Rejected) -> Message:
        letter = {
            "topic": topic,
            "key": self._serde.key(topic, rejected.row_id),
            "value": as_read(rejected.raw) if rejected.is_whole else None,
            "agent": self._config.name,
            "error_code": rejected.error_code,
            "detail": mask(rejected.detail),
            "hint": "correct the row in the source system; it is read again when it changes",
            "raised_at": rejected.captured_at,
        }
        text = f"{topic}|{rejected.row_id}|{rejected.position}"
        partition = partition_of(text, BY_NAME[DEAD_LETTERS].partitions)
        key = self._serde.key(DEAD_LETTERS, text)
        return DEAD_LETTERS, partition, key, self._serde.value(DEAD_LETTERS, letter)


def transactional_id(connector: str) -> str:
    """Return the id by which the poller of a connector fences its predecessors."""
    return f"psastream-source-{connector}"


def read_states(
    connector: str, objects: Iterable[str], stored: Mapping[bytes, bytes]
) -> dict[str, tuple[Bookmark | None, Ledger]]:
    """Return bookmark and ledger of each object from what the bookmarks topic holds.

    A record that cannot be read loses nothing: without its bookmark an object is read whole, and a
    row whose entry is damaged is taken for a changed one, or for deleted where it is gone.
    """
    found: dict[str, tuple[Bookmark | None, dict[str, Entry]]] = {
        obj: (None, {}) for obj in objects
    }
    for key, value in stored.items():
        name = key.decode("utf-8", "backslashreplace")
        owner, _, rest = name.partition("|")
        obj, _, row_id = rest.partition("|")
        if owner != connector or obj not in found:
            continue
        entries = found[obj][1]
        try:
            if row_id:
                entries[row_id] = Entry.from_bytes(value)
            else:
                found[obj] = (Bookmark.from_bytes(value), entries)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            _log.error(
                "poll.bookmark_unreadable",
                connector=connector,
                key=name,
                error=f"{type(error).__name__}: {error}",
                hint="what it is of is read again and compared; find who writes to the topic",
            )
            if row_id:
                entries[row_id] = Entry(UNREADABLE, None)
    return {obj: (bookmark, Ledger(entries)) for obj, (bookmark, entries) in found.items()}


def as_read(raw: object) -> bytes | None:
    """Return a refused row as JSON, as a dead letter holds it; None where no message could.

    JSON in ASCII is up to three times as long as the answer that the row came in.
    """
    text = json.dumps(raw, default=str, sort_keys=True).encode()
    return text if len(text) <= LETTER_BYTES_MAX else None


def _await_stable(settings: KafkaSettings, partition: TopicPartition) -> None:
    """Wait until all that a partition holds now is committed or aborted.

    A dead poller of another connector may have left a transaction open in the shared topic. Until
    the broker ends it, readers of committed records do not see what came after it, our own
    bookmark included. Raises BrokerUnavailableError when it takes too long.
    """
    deadline_s = time.monotonic() + STABLE_DEADLINE_S
    end = _end_offset(settings, partition, "read_uncommitted")
    while _end_offset(settings, partition, "read_committed") < end:
        if time.monotonic() > deadline_s:
            raise BrokerUnavailableError(
                f"a transaction stays open in {partition.topic}",
                hint="find it with kafka-transactions.sh find-hanging and abort it",
            )
        time.sleep(0.2)


def _end_offset(settings: KafkaSettings, partition: TopicPartition, isolation: str) -> int:
    consumer = make_consumer(settings, GROUP, isolation_level=isolation)
    try:
        return int(consumer.get_watermark_offsets(partition, timeout=CALL_TIMEOUT_S)[1])
    except KafkaException as error:
        detail = f"{partition.topic} cannot be read: {error}"
        told = refused(detail, error)
        raise told or BrokerUnavailableError(detail) from error
    finally:
        consumer.close()


def _beside(change: Change) -> dict[str, object]:
    """The fields of a change's envelope beside its rows and its source."""
    return {"transaction": None, "op": change.op, "ts_ms": _milliseconds(change.captured_at)}


def _envelope(
    change: Change, source: Callable[[Change], Mapping[str, object]]
) -> dict[str, object]:
    sequence = Position(change.position).to_sequence()
    return {
        "before": change.before,
        "after": change.after,
        "source": {**source(change), "sequence": sequence},
        **_beside(change),
    }


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
