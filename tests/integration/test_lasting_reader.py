"""A topic that is read to its end again and again, on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from runtime.kafka import KafkaSettings, create_topics, make_consumer, make_producer
from runtime.lasting_reader import LastingReader
from schemas.errors import BrokerUnavailableError
from tests.integration.test_runtime_kafka import make_topic, send, transaction
from tests.support.eventually import eventually
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack
ANSWER_S = 30.0


@pytest.fixture
def kafka(stack: RunningStack) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=stack.addresses.bootstrap_servers)


class Bench:
    """A topic, its reader, how often it has looked, and how many clients it has made for that."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self.topic = f"lasting-{uuid.uuid4().hex[:8]}"
        self.made = self.looks = 0
        self.make_topic()
        self.producer = make_producer(kafka)
        self.reader = LastingReader(kafka, self.topic, make=self._make)

    def make_topic(self) -> None:
        create_topics(self.kafka, [make_topic(self.topic, partitions=2)], replication_factor=1)

    def _make(self, settings: KafkaSettings, group_id: str, **overrides: Any) -> Consumer:
        self.made += 1
        return make_consumer(settings, group_id, **overrides)

    def send(self, *values: bytes) -> None:
        for value in values:
            send(self.producer, self.topic, 0, b"k", value)

    def news(self, timeout_s: float = ANSWER_S) -> tuple[list[bytes | None], bool]:
        self.looks += 1
        messages, is_all = self.reader.news(timeout_s=timeout_s)
        return [message.value() for message in messages], is_all


@pytest.fixture
def bench(kafka: KafkaSettings) -> Iterator[Bench]:
    it = Bench(kafka)
    yield it
    it.reader.close()


def test_each_record_is_news_once_and_the_clients_last(bench: Bench) -> None:
    assert bench.news() == ([], True)
    assert bench.news() == ([], False)
    for number in range(5):
        bench.send(b"a%d" % number, b"b%d" % number)
        assert bench.news() == ([b"a%d" % number, b"b%d" % number], False)
        assert bench.news() == ([], False)
    assert bench.made < bench.looks  # two, and two more after a broker was silent


def test_only_what_is_committed_is_news_and_what_is_open_is_waited_for(bench: Bench) -> None:
    aborted, opened = transaction(bench.kafka), transaction(bench.kafka)
    send(aborted, bench.topic, 0, b"k", b"never")
    aborted.abort_transaction()
    send(opened, bench.topic, 0, b"k", b"late")
    bench.send(b"behind")

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(bench.news)
        opened.commit_transaction()
        assert asked.result() == ([b"late", b"behind"], True)
    assert bench.news() == ([], False)


def test_what_never_ends_is_told_and_read_whole_later(bench: Bench) -> None:
    assert bench.news() == ([], True)
    opened = transaction(bench.kafka)
    bench.send(b"before")
    send(opened, bench.topic, 0, b"k", b"late")
    with pytest.raises(BrokerUnavailableError, match=f"the end of {bench.topic}"):
        bench.news(timeout_s=0.1)
    opened.commit_transaction()
    assert bench.news() == ([b"before", b"late"], False)


def test_a_topic_that_was_made_anew_is_read_from_its_begin(bench: Bench) -> None:
    bench.send(b"a", b"b", b"c")
    assert bench.news() == ([b"a", b"b", b"c"], True)
    admin = AdminClient(bench.kafka.client())
    admin.delete_topics([bench.topic])[bench.topic].result(ANSWER_S)
    eventually(
        lambda: bench.topic not in admin.list_topics(timeout=ANSWER_S).topics, deadline_s=ANSWER_S
    )
    bench.make_topic()
    bench.send(b"other")
    eventually(lambda: bench.news() == ([b"other"], True), deadline_s=ANSWER_S)


def test_it_begins_again_after_it_was_closed(bench: Bench) -> None:
    bench.send(b"a")
    assert bench.news() == ([b"a"], True)
    bench.reader.close()
    bench.send(b"b")
    assert bench.news() == ([b"b"], False)
