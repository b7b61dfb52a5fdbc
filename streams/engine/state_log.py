"""Reads what Kafka holds of one group: its state log, and its positions in the sources.

Blocking calls, made from worker threads.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from runtime.rights import refused
from schemas.errors import BrokerUnavailableError, FatalError
from streams.engine.connection import librdkafka_options
from streams.engine.errors import StateGapError, TopicMissingError
from streams.engine.positions import ANEW
from streams.engine.settings import RECOVERY, EngineSettings
from streams.engine.state_store import StateStore

_log = structlog.get_logger()

_PARTITION_EOF = KafkaError._PARTITION_EOF
_TRANSPORT_ERRORS = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
_ADMIN_TIMEOUT_S = 5.0  # short: what fails is tried again with a new client
_BATCH_RECORDS = 20_000
_POLL_S = 0.05  # `consume` waits this long for a batch to fill, also at the end of the log


@dataclass(frozen=True, slots=True)
class LogBounds:
    """First offset and end offset (one past the last) of one partition."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Committed position of a source partition (None: never committed) and its first offset.

    `is_anew`: an operator has set the position; see `positions.ANEW`.
    """

    committed: int | None
    start: int
    is_anew: bool = False


class StateLog:
    """The compacted topic that holds the state of one group."""

    def __init__(
        self, topic: str, settings: EngineSettings, admin: AdminClient | None = None
    ) -> None:
        self.topic = topic
        self._settings = settings
        self._admin = AdminClient(librdkafka_options(settings)) if admin is None else admin

    def identities(self, sources: Sequence[str]) -> dict[str, str]:
        """The ids Kafka gave the log and these topics: a topic made again has another (KIP-516).

        Raises BrokerUnavailableError, and TopicMissingError for a topic that is missing.
        """
        admin = self._admin  # held: the answer to a client that is gone never comes
        futures = admin.describe_topics(TopicCollection([self.topic, *sources]))
        found: dict[str, str] = {}
        for topic, future in futures.items():
            try:
                found[topic] = str(future.result(_ADMIN_TIMEOUT_S).topic_id)
            except (KafkaException, TimeoutError) as error:
                if _is_missing(error):
                    raise _missing(topic) from error
                raise self._unavailable(error) from error
        return found

    def end(self, partition: int) -> int:
        """One past the last offset of the log, committed or not. Does not wait for anybody."""
        return self._end(TopicPartition(self.topic, partition), IsolationLevel.READ_UNCOMMITTED)

    def bounds(self, partition: int) -> LogBounds:
        """Where the log starts and ends, as of now.

        Waits until no transaction is open: a commit is answered before its end is written to the
        log, and a worker that is gone leaves one behind until it times out. Raises
        BrokerUnavailableError if one stays open.
        """
        at = TopicPartition(self.topic, partition)
        start = self._offsets([at], OffsetSpec.earliest())[self.topic]
        deadline_s = time.monotonic() + _ADMIN_TIMEOUT_S
        written = self._end(at, IsolationLevel.READ_UNCOMMITTED)
        while (end := self._end(at, IsolationLevel.READ_COMMITTED)) < written:
            if time.monotonic() > deadline_s:
                raise self._unavailable(TimeoutError("a transaction stays open"))
            time.sleep(_POLL_S)
        return LogBounds(start, end)

    def _end(self, at: TopicPartition, isolation: IsolationLevel) -> int:
        return self._offsets([at], OffsetSpec.latest(), isolation)[self.topic]

    def source_positions(self, topics: Sequence[str], partition: int) -> dict[str, SourcePosition]:
        """The worker group's positions on `partition` of `topics`."""
        wanted = [TopicPartition(topic, partition) for topic in topics]
        # Not through librdkafka's admin client: it crashes the process if the coordinator has moved
        # or is not there yet. This consumer only asks, it does not join the group.
        consumer = self._consumer(self._settings.app_id)
        try:
            found = consumer.committed(wanted, timeout=_ADMIN_TIMEOUT_S)
        except KafkaException as error:
            raise self._unavailable(error) from error
        finally:
            consumer.close()
        failed = [at.error for at in found if at.error is not None]
        if failed:
            raise self._unavailable(KafkaException(failed[0]))
        committed = {at.topic: at.offset for at in found if at.offset >= 0}
        anew = {at.topic for at in found if at.metadata == ANEW}
        starts = self._offsets(wanted, OffsetSpec.earliest())
        return {
            topic: SourcePosition(committed.get(topic), start, topic in anew)
            for topic, start in starts.items()
        }

    def source_ends(self, topics: Sequence[str], partition: int) -> dict[str, int]:
        """One past the last offset on `partition` of `topics`, committed or not."""
        wanted = [TopicPartition(topic, partition) for topic in topics]
        return self._offsets(wanted, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def _offsets(
        self,
        wanted: Sequence[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[str, int]:
        admin = self._admin  # held, as above
        try:
            futures = admin.list_offsets(
                dict.fromkeys(wanted, spec),
                isolation_level=isolation,
                request_timeout=_ADMIN_TIMEOUT_S,
            )
            found = {
                at.topic: future.result(_ADMIN_TIMEOUT_S).offset for at, future in futures.items()
            }
        except (KafkaException, TimeoutError) as error:
            raise self._unavailable(error) from error
        if unknown := [topic for topic, offset in found.items() if offset < 0]:
            # librdkafka answers so, without an error, where a broker goes while it is asked.
            raise self._unavailable(ValueError(f"no offset of {', '.join(unknown)} came back"))
        return found

    def catch_up(
        self,
        partition: int,
        store: StateStore,
        *,
        stop: threading.Event,
        progress: Callable[[int, float], None],
    ) -> int:
        """Bring `store` to the end of the log; return the number of records read.

        The position moves with the data, so a catch-up that is stopped or killed goes on where it
        was. Raises FatalError after recovery_timeout_s, and StateGapError if the head of the log
        is gone. Upholds I6.
        """
        bounds = self.bounds(partition)
        stored = store.log_offset
        if stored is not None and stored >= bounds.end:
            store.reset(f"is ahead of its log: offset {stored}, log end {bounds.end}")
            stored = None
        elif stored is not None and stored + 1 < bounds.start and bounds.start == bounds.end:
            store.reset("its log has been emptied")
            stored = None
        known = 0 if stored is None else stored + 1
        if known < bounds.start < bounds.end:
            self._refuse_cut(partition, known, bounds)
        start = max(bounds.start, known)
        # All writers of the log are transactional, so a single offset past a record is the
        # marker that ended its transaction.
        if start >= bounds.end or (stored is not None and start == bounds.end - 1):
            return 0
        return self._read(partition, LogBounds(start, bounds.end), store, stop, progress)

    def _read(
        self,
        partition: int,
        bounds: LogBounds,
        store: StateStore,
        stop: threading.Event,
        progress: Callable[[int, float], None],
    ) -> int:
        began = time.monotonic()
        began_at_s = time.time()
        # Until the end is reached, tombstones that lie ahead may be compacted away: what is read
        # so far is as old as it was at the start.
        complete_at_s = store.complete_at_s or began_at_s
        records = 0
        consumer = self._consumer(f"{self._settings.app_id}{RECOVERY}")
        try:
            consumer.assign([TopicPartition(self.topic, partition, bounds.start)])
            at_end = False
            while not at_end and not stop.is_set():
                changes: dict[bytes, bytes | None] = {}
                last = -1
                for message in consumer.consume(_BATCH_RECORDS, _POLL_S):
                    if (error := message.error()) is not None:
                        at_end = at_end or self._is_end(error)
                        continue
                    changes[message.key()] = message.value()
                    last = message.offset()
                    records += 1
                if changes:
                    store.apply(changes, last, complete_at_s)
                elapsed = time.monotonic() - began
                progress(records, elapsed)
                if elapsed > self._settings.recovery_timeout_s:
                    raise self._too_slow(partition, records, bounds)
        finally:
            consumer.close()
        if at_end:
            store.apply({}, bounds.end - 1, began_at_s)
        return records

    def _refuse_cut(self, partition: int, known: int, bounds: LogBounds) -> None:
        error = StateGapError(
            f"the head of the state log is gone: it begins at {bounds.start} instead of {known}",
            hint="state logs must be compacted only; replay the group from its sources",
            context={"topic": self.topic, "partition": partition},
        )
        if not self._settings.allow_state_gap:
            raise error
        _log.error(
            "worker.state_gap_allowed",
            code=error.code,
            error=error.detail,
            hint=error.hint,
            **error.context,
        )

    def _consumer(self, group: str) -> Consumer:
        return Consumer(self._consumer_options(group))

    def _consumer_options(self, group: str) -> dict[str, str | int | bool]:
        return {
            **librdkafka_options(self._settings),
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",  # of offsets too: none of an open transaction
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 32_768,
        }

    def _is_end(self, error: object) -> bool:
        code = getattr(error, "code", lambda: None)()
        if code == _PARTITION_EOF:
            return True
        if getattr(error, "retriable", lambda: False)() or code in _TRANSPORT_ERRORS:
            return False
        detail, context = f"cannot read the state log: {error}", {"topic": self.topic}
        raise refused(detail, error, context=context) or FatalError(detail, context=context)

    def _too_slow(self, partition: int, records: int, bounds: LogBounds) -> FatalError:
        return FatalError(
            f"restored {records} records of about {bounds.end - bounds.start} in time",
            hint="raise recovery_timeout_s, or check compaction of the state log",
            context={"topic": self.topic, "partition": partition},
        )

    def _unavailable(self, error: BaseException) -> BrokerUnavailableError:
        # A client that has lost its broker can take far longer to find it again than a new one.
        self._admin = AdminClient(librdkafka_options(self._settings))
        detail, context = f"cannot describe the state log: {error!r}", {"topic": self.topic}
        return refused(detail, error, context=context) or BrokerUnavailableError(
            detail, context=context
        )


def _is_missing(error: BaseException) -> bool:
    is_of_kafka = isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError)
    return is_of_kafka and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def _missing(topic: str) -> TopicMissingError:
    return TopicMissingError(
        "the broker does not know the topic",
        hint="`psastream topics create` makes what is missing; what was deleted is gone",
        context={"topic": topic},
    )
