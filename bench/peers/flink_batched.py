"""Flink DataStream API with hand-made mini-batches: RocksDB state, exactly once."""

from __future__ import annotations

from bench.peers.flink import FlinkPeer

PEER = FlinkPeer(
    name="Flink DataStream, mini-batches",
    state="RocksDB",
    main_class="DataStreamJob",
    arguments=("batched", "rocksdb"),
)
