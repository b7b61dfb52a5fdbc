"""One of three brokers lost under load, then two: nothing is lost, nothing is doubled.

Three copies of each partition, of which two must have a record before it is acknowledged.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.integration.test_engine_crash import make_input
from tests.recovery.brokers import Brokers, three_brokers
from tests.support.engine_testbed import EngineTestbed
from tests.support.eventually import eventually

pytestmark = pytest.mark.stack

DEADLINE_S: Final = 120.0
ROWS: Final = 6_000
RECORDS: Final = 200
GIVE_UP_MS: Final = 8_000
SMALL: Final = {"max_chunk_records": 200, "halt_timeout_s": 2.0}


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with three_brokers() as brokers:
        yield brokers


def test_a_broker_lost_under_load_loses_and_doubles_nothing(
    brokers: Brokers, tmp_path: Path
) -> None:
    testbed = EngineTestbed(brokers.bootstrap_servers, tmp_path, partitions=3, copies=3)
    testbed.create_topics()
    sources = (testbed.topics.rows, testbed.topics.adjustments)
    inputs = [make_input(partition, partition, ROWS) for partition in range(3)]
    is_at_work, is_lost = threading.Event(), threading.Event()
    awaited = {ROWS // 2: is_at_work, ROWS * 3 // 4: is_lost}

    def load() -> None:
        for at in range(0, ROWS, 500):
            if at in awaited:
                awaited[at].wait(DEADLINE_S)
            for partition, (changes, adjustments) in enumerate(inputs):
                testbed.produce(testbed.topics.rows, partition, changes[at : at + 500])
                testbed.produce(
                    testbed.topics.adjustments, partition, adjustments[at // 10 : at // 10 + 50]
                )

    producer = threading.Thread(target=load)
    workers = {name: testbed.spawn(name, **SMALL) for name in ("a", "b")}
    try:
        producer.start()
        eventually(lambda: testbed.committed(*sources) > ROWS // 4, deadline_s=DEADLINE_S)
        is_at_work.set()
        brokers.kill(2)
        is_lost.set()
        producer.join(DEADLINE_S)
        assert not producer.is_alive()
        expected = sum(len(changes) + len(adjustments) for changes, adjustments in inputs)
        eventually(lambda: _end(testbed, *sources) >= expected, deadline_s=DEADLINE_S)
        eventually(lambda: testbed.committed(*sources) >= expected, deadline_s=DEADLINE_S)
        for name, worker in workers.items():
            assert worker.poll() is None, (tmp_path / f"{name}.log").read_text()
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
        brokers.start(2)
        brokers.wait()
    assert Counter(testbed.read(testbed.topics.rows)) == Counter(
        record for changes, _ in inputs for record in changes
    )
    assert testbed.totals() == testbed.expected()


def test_two_brokers_lost_take_no_record_and_lose_none_they_took(
    brokers: Brokers, tmp_path: Path
) -> None:
    testbed = EngineTestbed(brokers.bootstrap_servers, tmp_path, partitions=1, copies=3)
    testbed.create_topics(testbed.topics.rows)
    producer = Producer(
        {
            "bootstrap.servers": brokers.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": GIVE_UP_MS,
        }
    )
    taken, refused = _sent(producer, testbed.topics.rows, range(RECORDS))
    assert len(taken) == RECORDS and not refused
    brokers.kill(2, 3)
    try:
        during, refused = _sent(producer, testbed.topics.rows, range(RECORDS, 2 * RECORDS))
    finally:
        brokers.start(2, 3)
        brokers.wait()
    # The client gives up by itself; it never says that a record is safe which one broker alone has.
    assert not during
    assert refused == {KafkaError._MSG_TIMED_OUT}
    after, refused = _sent(_fresh(brokers), testbed.topics.rows, range(2 * RECORDS, 3 * RECORDS))
    assert len(after) == RECORDS and not refused

    found = Counter(key for key, _ in testbed.read(testbed.topics.rows))
    assert {key for key in taken | after if found[key] != 1} == set()
    assert max(found.values()) == 1


def _end(testbed: EngineTestbed, *topics: str) -> int:
    """Sum of the end offsets; 0 while a partition has no leader that answers."""
    try:
        return testbed.ends(*topics)
    except KafkaException:
        return 0


def _fresh(brokers: Brokers) -> Producer:
    return Producer({"bootstrap.servers": brokers.bootstrap_servers, "enable.idempotence": True})


def _sent(producer: Producer, topic: str, numbers: range) -> tuple[set[bytes], set[int]]:
    """Publish keys; which were acknowledged, and the codes of what was said of the others."""
    taken: set[bytes] = set()
    refused: set[int] = set()

    def told(error: KafkaError | None, message: Message) -> None:
        if error is None:
            taken.add(message.key() or b"")
        else:
            refused.add(error.code())

    for number in numbers:
        producer.produce(topic, b"x", b"%d" % number, partition=0, on_delivery=told)
        producer.poll(0)
    producer.flush(60)
    return taken, refused
