"""Work A with Bytewax: a logic object for each row and each total, recovery in SQLite.

Keyed by row and by total, not by project or partition: a snapshot writes the whole state of every
key that was touched since the one before, which small states keep small.
"""

from __future__ import annotations

from operator import add

import bytewax.operators as op
import work
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

BROKERS = [work.BOOTSTRAP_SERVERS]
Addition = tuple[int, str, work.Amounts]
Total = tuple[int, str, bytes]


class Row(StatefulBatchLogic[bytes | None, Addition, bytes | None]):
    """One row; the changes of a batch leave as one difference."""

    __slots__ = ("value",)

    def __init__(self, value: bytes | None) -> None:
        self.value = value

    def on_batch(self, values: list[bytes | None]) -> tuple[list[Addition], bool]:
        """Keep the last value and return what it changes."""
        old, self.value = self.value, values[-1]
        additions = work.deltas(work.contribution(old), work.contribution(self.value))
        return additions, self.value is None

    def snapshot(self) -> bytes | None:
        """Return the row."""
        return self.value


class Sum(StatefulBatchLogic[Addition, Total, work.Amounts | None]):
    """One total; the additions of a batch leave as one value."""

    __slots__ = ("amounts",)

    def __init__(self, amounts: work.Amounts | None) -> None:
        self.amounts = amounts

    def on_batch(self, values: list[Addition]) -> tuple[list[Total], bool]:
        """Add and return the new total."""
        amounts = self.amounts
        for _, _, addition in values:
            amounts = addition if amounts is None else tuple(map(add, amounts, addition))
        assert amounts is not None
        self.amounts = amounts
        total, key, _ = values[0]
        return [(total, key, work.CODECS[total].encode(amounts))], StatefulBatchLogic.RETAIN

    def snapshot(self) -> work.Amounts | None:
        """Return the total."""
        return self.amounts


def changes(messages: list[KafkaSourceMessage]) -> list[tuple[str, bytes | None]]:
    """Key a batch of records by row."""
    return [(message.key.decode(), message.value) for message in messages]


def by_total(items: list[tuple[str, Addition]]) -> list[tuple[str, Addition]]:
    """Key a batch of additions by total; the digit keeps the two kinds apart."""
    return [(f"{addition[0]}{addition[1]}", addition) for _, addition in items]


def messages(items: list[tuple[str, Total]]) -> list[KafkaSinkMessage]:
    """Return what is published of a batch of totals."""
    return [
        KafkaSinkMessage(key.encode(), value, topic=work.OUTPUTS[total])
        for _, (total, key, value) in items
    ]


flow = Dataflow("work_a")
source = KafkaSource(
    BROKERS,
    [work.SOURCE_TOPIC],
    tail=False,
    batch_size=10_000,
)
records = op.input("source", flow, source)
rows = op.stateful_batch("rows", op.flat_map_batch("changes", records, changes), Row)
totals = op.stateful_batch("totals", op.flat_map_batch("by_total", rows, by_total), Sum)
sink = KafkaSink(
    BROKERS,
    None,
    add_config={
        # The sink waits for each of its batches, so lingering would only add to the wait.
        "linger.ms": 0,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
    },
)
op.output("outputs", op.flat_map_batch("messages", totals, messages), sink)
