"""What a batch becomes on Kafka, and which errors of a transaction are repeated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from connectors.polled.bookmark import Batch, Bookmark, Change, Rejected, RowsTooLargeError
from connectors.polled.kafka_log import DEAD_LETTERS, KafkaLog, read_states
from connectors.polled.ledger import Entry, Verdict
from connectors.polled.sending import CALL_ATTEMPTS, call
from runtime.kafka import KafkaSettings, make_consumer, make_producer
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.codec.columnar import FEW_RECORDS
from schemas.errors import BrokerUnavailableError, FatalError
from schemas.position import Position
from schemas.routing import partition_of
from schemas.topics import BOOKMARKS, PARTITIONS
from tests.support.catalogue import BY_NAME, SOURCES
from tests.support.polled import START, make_config
from tests.support.topology import FixedRegistry

TOPIC = "src.float.role"
SERDE = Serde(cast(Registry, FixedRegistry()), SOURCES)
AT = START + timedelta(milliseconds=250)
AT_MS = 20_000 * 86_400_000 + 250


def test_a_batch_is_changes_dead_letters_ledger_and_bookmark_in_this_order() -> None:
    config = make_config(**{"topic.prefix": "src.float", "object.include.list": "role"})
    log = KafkaLog(KafkaSettings(bootstrap_servers="nowhere:1"), SERDE, config)
    bookmark = Bookmark(position=14)
    row = {"id": 7, "name": "Consultant"}
    batch = Batch(
        "role",
        bookmark,
        [
            Change("7", "r", None, row, 11, AT),
            Change("7", "u", None, row, 12, AT),
            Change("7", "d", {"id": 7}, None, 13, AT),
        ],
        [Rejected("8", {"id": 8}, "name: a list is not a text", 14, AT)],
        {"7": None, "8": Entry("", None, refused="abc")},
    )
    *changes, letter, forgotten, kept, last = log.messages(batch)
    assert {(topic, partition, key) for topic, partition, key, _ in changes} == {
        (TOPIC, partition_of("7", BY_NAME[TOPIC].partitions), SERDE.key(TOPIC, "7"))
    }
    events = [SERDE.read(value or b"") for *_, value in changes]
    assert [(event["op"], event["source"]["snapshot"]) for event in events] == [
        ("r", "true"),
        ("u", "false"),
        ("d", "false"),
    ]
    positions = [event["source"]["sequence"] for event in events]
    assert positions == [Position(number).to_sequence() for number in (11, 12, 13)]
    assert {event["ts_ms"] for event in events} == {AT_MS}
    assert {event["source"]["ts_ms"] for event in events} == {AT_MS}
    topic, _, key, value = letter
    assert (topic, key) == (DEAD_LETTERS, SERDE.key(DEAD_LETTERS, f"{TOPIC}|8|14"))
    told = SERDE.read(value or b"")
    assert (told["topic"], told["value"], told["agent"]) == (TOPIC, b'{"id": 8}', "test")
    assert told["detail"] == "name: a list is not a text"
    assert forgotten == (BOOKMARKS.name, 0, b"test|role|7", None)
    assert kept == (BOOKMARKS.name, 0, b"test|role|8", Entry("", None, refused="abc").to_bytes())
    assert last == (BOOKMARKS.name, 0, b"test|role", bookmark.to_bytes())


class Flaky:
    """A call that fails so many times."""

    def __init__(self, failures: int, *, retriable: bool = True, **flags: bool) -> None:
        self.left = failures
        self.calls = 0
        self._error = KafkaError(KafkaError._TIMED_OUT, "slow", retriable=retriable, **flags)

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise KafkaException(self._error)
        return "done"


def test_a_call_that_may_be_repeated_is_repeated_up_to_its_last_attempt() -> None:
    assert call(Flaky(CALL_ATTEMPTS - 1)) == "done"
    never = Flaky(1000)
    with pytest.raises(FatalError, match="cannot go on"):
        call(never)
    assert never.calls == CALL_ATTEMPTS


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Flaky(1, txn_requires_abort=True), BrokerUnavailableError),
        (Flaky(1, retriable=False, txn_requires_abort=True), BrokerUnavailableError),
        (Flaky(1, fatal=True), FatalError),
        (Flaky(1, retriable=False), FatalError),
    ],
)
def test_a_call_that_must_not_be_repeated_is_not(broken: Flaky, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(broken)
    assert broken.calls == 1


class Transactions:
    """A producer that notes what it is told; `full` times its queue has no room."""

    def __init__(self, *, full: int = 0, broken: str = "") -> None:
        self.told: list[str] = []
        self.polls = 0
        self._full = full
        self._broken = broken

    def __len__(self) -> int:
        return 0  # nothing is under way

    def begin_transaction(self) -> None:
        self._note("begin")

    def produce(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, on_delivery: object
    ) -> None:
        assert (topic, partition, bool(value)) == (BOOKMARKS.name, 0, True)
        if self._full:
            self._full -= 1
            raise BufferError
        self._note(key.decode())

    def commit_transaction(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self._note("commit")

    def abort_transaction(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self._note("abort")

    def poll(self, timeout_s: float) -> int:
        self.polls += bool(timeout_s)
        return 0

    def _note(self, step: str) -> None:
        self.told.append(step)
        if step == self._broken:
            error = KafkaError(KafkaError._STATE, "fenced", txn_requires_abort=step != "begin")
            raise KafkaException(error)


class Wire:
    """A broker that takes no more than so many bytes at once."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.published: list[bytes] = []

    def producer(self, _: KafkaSettings, **overrides: object) -> Producer:
        return cast(Producer, WireProducer(self, int(str(overrides.get("batch_num_messages", 3)))))

    def log(self) -> KafkaLog:
        """The log of a connector, as if it were open."""
        config = make_config(**{"topic.prefix": "src.float", "object.include.list": "role"})
        settings = KafkaSettings(bootstrap_servers="nowhere:1")
        log = KafkaLog(settings, SERDE, config, self.producer)
        log._start_producer()
        return log


class Produced:
    """What the client tells a message as."""

    def __init__(self, topic: str, key: bytes) -> None:
        self._topic, self._key = topic, key

    def topic(self) -> str:
        return self._topic

    def key(self) -> bytes:
        return self._key


class WireProducer:
    """A producer that fails as librdkafka does.

    So many messages travel at once; what came of them is told later; what follows a refused one is
    refused for the state of the transaction, and in later ones since its number is another.
    """

    def __init__(self, wire: Wire, together: int) -> None:
        self._wire, self._together = wire, together
        self._queue: list[tuple[Produced, bytes, Any]] = []
        self._told: list[tuple[Any, KafkaError | None, Produced]] = []
        self._sent: list[bytes] = []
        self._has_failed = self._is_spent = False

    def __len__(self) -> int:
        return len(self._queue) + len(self._told)

    def init_transactions(self, timeout_s: float) -> None:
        assert timeout_s > 0

    def begin_transaction(self) -> None:
        self._sent, self._has_failed = [], False

    def produce(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, on_delivery: Any
    ) -> None:
        if self._has_failed:
            raise KafkaException(KafkaError(KafkaError._STATE, "erroneous state"))
        self._queue.append((Produced(topic, key), value or b"", on_delivery))
        if len(self._queue) == self._together:
            self._send()

    def _send(self) -> None:
        queue, self._queue = self._queue, []
        is_large = sum(len(value) for _, value, _ in queue) > self._wire.bytes_max
        code = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER if self._is_spent else None
        code = KafkaError.MSG_SIZE_TOO_LARGE if is_large else code
        error = None if code is None else KafkaError(code)
        self._told += [(on_delivery, error, message) for message, _, on_delivery in queue]
        self._sent += [message.key() for message, _, _ in queue]
        self._has_failed = self._has_failed or error is not None
        self._is_spent = self._is_spent or is_large

    def commit_transaction(self, timeout_s: float) -> None:
        self.poll(timeout_s)
        if self._has_failed:
            error = KafkaError(KafkaError._STATE, "skipped numbers", txn_requires_abort=True)
            raise KafkaException(error)
        self._wire.published += self._sent

    def abort_transaction(self, timeout_s: float) -> None:
        self._queue = []

    def poll(self, timeout_s: float) -> int:
        if timeout_s:
            self._send()
        told, self._told = self._told, []
        for on_delivery, error, message in told:
            on_delivery(error, message)
        return len(told)


def seven(name: str = "x") -> list[Change]:
    """Changes of seven rows, one of them with another name."""
    return [
        Change(str(at), "c", None, {"id": at, "name": name if at == 2 else "x"}, 1, AT)
        for at in range(7)
    ]


@pytest.mark.parametrize("where", ["in a row", "in a dead letter"])
def test_of_what_is_refused_together_the_row_is_named_that_is_too_large(where: str) -> None:
    wire = Wire(1_000)
    log = wire.log()
    is_row, large = where == "in a row", "x" * 2_000
    changes = seven(large if is_row else "x")
    letter = Rejected("8", "small" if is_row else large, "", 14, AT)
    batch = Batch("role", Bookmark(position=14), changes, [letter])
    with pytest.raises(RowsTooLargeError) as caught:
        asyncio.run(log.commit(batch))
    named = {*caught.value.rows}, {*caught.value.letters}
    assert named == (({"2"}, set()) if is_row else (set(), {"8"}))
    assert wire.published == []
    kept = [each for each in changes if each.row_id != "2"] if is_row else changes
    asyncio.run(
        log.commit(replace(batch, changes=kept, rejected=[replace(letter, is_whole=is_row)]))
    )
    assert len(wire.published) == len(kept) + 2


def test_rows_that_are_refused_for_travelling_together_are_published() -> None:
    bookmark = Bookmark(position=14)
    wire = Wire(len(bookmark.to_bytes()))  # no three rows
    asyncio.run(wire.log().commit(Batch("role", bookmark, seven())))
    assert len(wire.published) == 8


def test_i4_each_change_lies_on_the_partition_of_its_row() -> None:
    made: list[Producer] = []

    def producer(settings: KafkaSettings, **overrides: str | int | bool) -> Producer:
        mock = {"test_mock_num_brokers": 1}  # a broker within the client
        made.append(make_producer(settings, **overrides, **mock))
        return made[-1]

    config = make_config(**{"topic.prefix": "src.float", "object.include.list": "role"})
    log = KafkaLog(KafkaSettings(bootstrap_servers="nowhere:1"), SERDE, config, producer)
    log._start_producer()
    changes = [
        Change(f"r{at}", "c", None, {"id": at, "name": "x"}, 1, AT) for at in range(FEW_RECORDS * 2)
    ]
    asyncio.run(log.commit(Batch("role", Bookmark(), changes)))
    [broker] = made[0].list_topics(timeout=10).brokers.values()
    address = f"{broker.host}:{broker.port}"
    consumer = make_consumer(KafkaSettings(bootstrap_servers=address), "test")
    consumer.assign([TopicPartition(TOPIC, each, 0) for each in range(PARTITIONS)])
    found: dict[str, int] = {}
    while len(found) < len(changes):
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        found[SERDE.read_key(message.key() or b"")] = message.partition() or 0
    consumer.close()
    assert found == {each.row_id: partition_of(each.row_id, PARTITIONS) for each in changes}


def test_the_client_tells_by_topic_and_key_what_it_did_not_send() -> None:
    told: list[tuple[str | None, bytes | None]] = []
    producer = Producer({"bootstrap.servers": "nowhere:1", "log_level": 0})
    for topic, key in ((TOPIC, b"a"), (BOOKMARKS.name, b"b")):
        producer.produce(
            topic, key=key, value=b"x", partition=0,
            on_delivery=lambda _, message: told.append((message.topic(), message.key())),
        )  # fmt: skip
    producer.purge()
    producer.flush()
    assert sorted(told) == [(BOOKMARKS.name, b"b"), (TOPIC, b"a")]


def test_a_record_without_a_row_that_is_too_large_ends_the_process() -> None:
    with pytest.raises(FatalError, match="hold no row"):
        asyncio.run(Wire(10).log().commit(Batch("role", Bookmark(position=14))))


def commit(producer: Transactions | None) -> None:
    config = make_config(**{"topic.prefix": "src.float", "object.include.list": "role"})
    log = KafkaLog(KafkaSettings(bootstrap_servers="nowhere:1"), SERDE, config)
    log._producer = cast(Producer, producer)
    batch = Batch("role", Bookmark(position=14), [], [], {"8": Entry("", None, refused="abc")})
    asyncio.run(log.commit(batch))


def test_a_log_that_fenced_nobody_publishes_nothing() -> None:
    with pytest.raises(AssertionError, match="not open"):
        commit(None)


@pytest.mark.parametrize("full", [0, 1, 3])
def test_i2_a_batch_is_one_transaction_however_often_the_queue_is_full(full: int) -> None:
    producer = Transactions(full=full)
    commit(producer)
    assert producer.told == ["begin", "test|role|8", "test|role", "commit"]
    assert producer.polls == full


@pytest.mark.parametrize("broken", ["test|role|8", "test|role", "commit"])
def test_i2_a_transaction_that_fails_is_aborted_before_the_batch_comes_again(broken: str) -> None:
    producer = Transactions(broken=broken)
    with pytest.raises(BrokerUnavailableError):
        commit(producer)
    assert producer.told[-2:] == [broken, "abort"]


def test_a_transaction_that_cannot_be_begun_ends_the_process() -> None:
    producer = Transactions(broken="begin")
    with pytest.raises(FatalError, match="fenced"):
        commit(producer)
    assert producer.told == ["begin"]


KEPT = {
    b"test|role": Bookmark(position=7).to_bytes(),
    b"test|role|1": Entry("abc", AT).to_bytes(),
    b"test|role|a|b": Entry("def", None).to_bytes(),
}
DAMAGED = [b"", b"x", b"null", b"[]", b"{}", b"7", b'{"digest":"a","modified_at":7}', b"\xff"]
DAMAGED += [b'{"digest":"a","modified_at":"2026-01-01"}', b'{"digest":"a","shown_at":"never"}']


def test_what_a_connector_kept_is_found_again_and_what_others_kept_is_not() -> None:
    others = {b"other|role": b"x", b"test|person": b"x", b"\xff": b"x", b"": b"x", b"test": b"x"}
    states = read_states("test", ["role", "task"], KEPT | others)
    assert states.keys() == {"role", "task"}
    bookmark, ledger = states["role"]
    assert bookmark == Bookmark(position=7)
    assert (ledger.get("1"), ledger.get("a|b")) == (Entry("abc", AT), Entry("def", None))
    assert len(ledger) == 2
    assert states["task"][0] is None
    assert len(states["task"][1]) == 0


@pytest.mark.fault("B7", place="connectors/polled/kafka_log.py")
@pytest.mark.parametrize("value", DAMAGED)
def test_b7_a_damaged_record_of_the_bookmarks_loses_nothing(value: bytes) -> None:
    with structlog.testing.capture_logs() as lines:
        bookmark, ledger = read_states("test", ["role"], KEPT | {b"test|role|1": value})["role"]
    assert bookmark == Bookmark(position=7)
    assert [(line["event"], line["key"]) for line in lines] == [
        ("poll.bookmark_unreadable", "test|role|1")
    ]
    assert ledger.living() == {"1", "a|b"}  # so that its absence is noticed
    assert ledger.judge("1", Entry("abc", AT)) is Verdict.CHANGED


@pytest.mark.fault("B7", place="connectors/polled/kafka_log.py")
@pytest.mark.parametrize(
    "value", [*DAMAGED[:7], Bookmark(swept_at=AT.replace(tzinfo=None)).to_bytes()]
)
def test_b7_an_object_whose_bookmark_is_damaged_is_read_whole(value: bytes) -> None:
    with structlog.testing.capture_logs() as lines:
        bookmark, ledger = read_states("test", ["role"], KEPT | {b"test|role": value})["role"]
    assert bookmark is None
    assert len(ledger) == 2
    assert [line["key"] for line in lines] == ["test|role"]
