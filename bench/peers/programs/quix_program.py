"""Work A with Quix Streams: rows and totals in its RocksDB stores, exactly once.

A store of Quix is reached by the key of the message at hand, so a row's change goes, as amounts to
add, through a topic keyed by total; nothing in its public interface lets one message touch the
state of another key, even where both are on the same partition.
"""

from __future__ import annotations

import sys
from typing import Any

import work
from quixstreams import Application, State
from quixstreams.models import Serializer, TopicConfig

APPLICATION = Application(
    broker_address=work.BOOTSTRAP_SERVERS,
    consumer_group=work.GROUP,
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    # The totals see amounts when they are committed, so a change is two of these from its totals.
    commit_interval=work.HOLD_S or 2.0,
    # One folder for each process: a RocksDB folder has one owner.
    state_dir=work.FOLDER / f"state-{sys.argv[1]}",
    loglevel="WARNING",
    consumer_poll_timeout=0.1,
    consumer_extra_config={
        "fetch.queue.backoff.ms": 5,
        # What is asked of the broker while partitions are opened waits behind an empty fetch.
        "fetch.wait.max.ms": 50,
        "heartbeat.interval.ms": 500,
    },
    producer_extra_config={
        "linger.ms": 0 if work.HOLD_S else 20,
        "batch.size": 1_000_000,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
    },
)


class Last(Serializer):
    """Sends the last part of a (topic, key, bytes) tuple, which needs no further encoding."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        """Return the bytes."""
        return value[-1]


def amounts_topic(name: str) -> Any:
    """Return a topic of amounts to add, partitioned by the key of their total."""
    return APPLICATION.topic(
        f"{work.GROUP}-{name}",
        config=TopicConfig(num_partitions=work.PARTITIONS, replication_factor=1),
        key_serializer="str",
        value_serializer=Last(),
        key_deserializer="bytes",
        value_deserializer="bytes",
    )


SOURCE = APPLICATION.topic(work.SOURCE_TOPIC, key_deserializer="bytes", value_deserializer="bytes")
AMOUNTS = (amounts_topic("margin-amounts"), amounts_topic("utilization-amounts"))


def change(value: bytes | None, state: State) -> list[tuple[int, str, bytes]]:
    """Keep the row and return what its change adds to totals."""
    before = state.get_bytes(b"row")
    if value is None:
        state.delete(b"row")
    else:
        state.set_bytes(b"row", value)
    return [
        (total, key, work.CODECS[total].encode(amounts))
        for total, key, amounts in work.deltas(work.contribution(before), work.contribution(value))
    ]


def add_to(total: int) -> Any:
    """Return the function that adds amounts to a total, whose state is the value it publishes."""
    codec = work.CODECS[total]

    def add(value: bytes, state: State) -> bytes:
        before = state.get_bytes(b"total")
        if before is not None:
            sums = zip(codec.decode(before), codec.decode(value), strict=True)
            value = codec.encode(tuple(a + b for a, b in sums))
        state.set_bytes(b"total", value)
        return value

    return add


def main() -> None:
    """Run until ended from outside."""
    changes = APPLICATION.dataframe(SOURCE).apply(change, stateful=True, expand=True)
    changes.to_topic(lambda value, *_: AMOUNTS[value[0]], key=lambda value: value[1])
    for total, name in enumerate(work.OUTPUTS):
        output = APPLICATION.topic(name, key_serializer="bytes", value_serializer="bytes")
        totals = APPLICATION.dataframe(AMOUNTS[total]).apply(add_to(total), stateful=True)
        totals.to_topic(output)
    APPLICATION.run()


if __name__ == "__main__":
    main()
