"""Fetch every record of the source, touch its key and value, commit at the end: nothing else.

aiokafka's `getmany` costs a process as much for each record; librdkafka fetches on other threads.

Argument: which of how many processes this is, as `0/2`.
"""

from __future__ import annotations

import os
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition

INDEX, PROCESSES = map(int, sys.argv[1].split("/"))


def main() -> None:
    """Fetch this process's partitions to their ends."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_BOOTSTRAP_SERVERS"],
            "group.id": os.environ["BENCH_GROUP"],
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end of a partition shows in an empty fetch
            "queued.max.messages.kbytes": 262_144,
            "queued.min.messages": 200_000,
        }
    )
    topic = os.environ["BENCH_SOURCE_TOPIC"]
    # Assigned instead of subscribed: a ceiling does not wait for a group to form.
    mine = range(INDEX, int(os.environ["BENCH_PARTITIONS"]), PROCESSES)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in mine])
    unfinished = set(mine)
    records = touched = 0
    while unfinished:
        for message in consumer.consume(20_000, 0.1):
            error = message.error()
            if error is None:
                key, value = message.key(), message.value()
                touched += len(key) + (len(value) if value is not None else 0)
                records += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise RuntimeError(error)
    consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
    consumer.close()
    print(f"{records} records, {touched} bytes of keys and values")


if __name__ == "__main__":
    main()
