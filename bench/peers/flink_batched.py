"""Flink DataStream API with hand-made mini-batches: RocksDB state, exactly once."""

from __future__ import annotations

from bench.peers.flink import FlinkPeer

PEER = FlinkPeer(
    name="Flink DataStream, mini-batches",
    state="RocksDB",
    main_class="DataStreamJob",
    arguments=("batched", "rocksdb"),
)
# The same on the heap: faster to read, but every checkpoint writes all of it anew.
PEER_HEAP = FlinkPeer(
    name="Flink DataStream, mini-batches, heap",
    state="memory",
    main_class="DataStreamJob",
    arguments=("batched", "hashmap"),
)
