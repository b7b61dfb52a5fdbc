"""Flink SQL, with mini-batches as a tuned user has them: RocksDB state, exactly once."""

from __future__ import annotations

from bench.peers.flink import FlinkPeer

PEER = FlinkPeer(name="Flink SQL", state="RocksDB", main_class="SqlJob", arguments=("rocksdb",))
