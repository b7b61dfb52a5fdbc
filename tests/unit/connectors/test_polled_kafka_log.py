"""What a batch becomes on Kafka, and which errors of a transaction are repeated."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.polled.bookmark import Batch, Bookmark, Change, Rejected
from connectors.polled.kafka_log import CALL_ATTEMPTS, DEAD_LETTERS, KafkaLog, call
from connectors.polled.ledger import Entry
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.serde import Serde
from schemas.errors import BrokerUnavailableError, FatalError
from schemas.position import Position
from schemas.routing import partition_of
from schemas.topics import BOOKMARKS, BY_NAME
from tests.support.polled import START, make_config
from tests.support.topology import FixedRegistry

TOPIC = "src.float.role"
SERDE = Serde(cast(Registry, FixedRegistry()))
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
