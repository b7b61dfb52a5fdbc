"""Flink DataStream API, one output per change: RocksDB state, exactly once."""

from __future__ import annotations

from bench.peers.flink import FlinkPeer

PEER = FlinkPeer(
    name="Flink DataStream",
    state="RocksDB",
    main_class="DataStreamJob",
    arguments=("plain", "rocksdb"),
)
