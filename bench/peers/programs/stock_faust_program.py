"""Work A with Faust as it is released: rows and totals in tables, at least once.

Rows and totals have different keys, so amounts to add go through topics keyed by total.
"""

from __future__ import annotations

import logging
import sys

import faust
import work

# Faust leaves the root logger open to debug records and drops them in the handler, a tenth of
# the time of a message.
logging.disable(logging.INFO)

app = faust.App(
    work.GROUP,
    broker=f"kafka://{work.BOOTSTRAP_SERVERS}",
    store="rocksdb://",
    datadir=str(work.FOLDER / f"state-{sys.argv[1]}"),
    processing_guarantee="at_least_once",
    key_serializer="raw",
    value_serializer="raw",
    topic_partitions=work.PARTITIONS,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    # More at a time and fewer pauses: this is a backlog.
    broker_max_poll_records=2_000,
    stream_buffer_maxsize=16_384,
    broker_commit_every=20_000,
    broker_commit_interval=1.0,
    # Both workers join before either begins: when the second joined while the first was at work,
    # records were lost in some runs.
    broker_heartbeat_interval=1.0,
    stream_recovery_delay=3.0,
    producer_linger=0.02,
    producer_max_batch_size=262_144,
    store_check_exists=False,  # or each read of a table is two
    web_enabled=False,
)
SOURCE = app.topic(work.SOURCE_TOPIC, key_type=bytes, value_type=bytes)
AMOUNTS = tuple(
    app.topic(f"{work.GROUP}-{name}-amounts", key_type=bytes, value_type=bytes)
    for name in ("margin", "utilization")
)
OUTPUTS = tuple(app.topic(name, key_type=bytes, value_type=bytes) for name in work.OUTPUTS)
ROWS, *TOTALS = (
    app.Table(name, key_type=bytes, value_type=bytes, partitions=work.PARTITIONS)
    for name in ("rows", "margin-totals", "utilization-totals")
)


@app.agent(SOURCE)
async def change(stream: faust.StreamT[bytes]) -> None:
    """Keep rows and send on what their changes add to totals."""
    async for event in stream.events():
        value = event.value
        before = ROWS.get(event.key)
        if value is None:
            ROWS.pop(event.key, None)
        else:
            ROWS[event.key] = value
        additions = work.deltas(work.contribution(before), work.contribution(value))
        for total, key, amounts in additions:
            encoded = work.CODECS[total].encode(amounts)
            await AMOUNTS[total].send(key=key.encode(), value=encoded)


async def add(total: int, stream: faust.StreamT[bytes]) -> None:
    """Add amounts to totals, whose state is the value they publish."""
    codec, table, output = work.CODECS[total], TOTALS[total], OUTPUTS[total]
    async for event in stream.events():
        value = event.value
        before = table.get(event.key)
        if before is not None:
            sums = zip(codec.decode(before), codec.decode(value), strict=True)
            value = codec.encode(tuple(a + b for a, b in sums))
        table[event.key] = value
        await output.send(key=event.key, value=value)


@app.agent(AMOUNTS[work.MARGIN])
async def add_margin(stream: faust.StreamT[bytes]) -> None:
    """Keep margin totals."""
    await add(work.MARGIN, stream)


@app.agent(AMOUNTS[work.UTILIZATION])
async def add_utilization(stream: faust.StreamT[bytes]) -> None:
    """Keep utilization totals."""
    await add(work.UTILIZATION, stream)


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
